// What keeps row changes from those who subscribe to them: the publication, and the tables that are in it.
//
// Which tables clients may have, and who may see which of their rows, is for the owner of the tables to say. So most of
// this is told as a note; only what breaks the writes of others is a warning.
#include "main/doctor_checks.h"

namespace rt::app {
namespace {

constexpr Check kPublication[] = {
    {"publication_empty", Severity::kNote,
     R"(SELECT format('The publication %I has no tables, so nobody is told of row changes.', pubname),
          'Add those whose changes clients may have: ALTER PUBLICATION ... ADD TABLE ...', '', NULL
        FROM publication WHERE NOT EXISTS (SELECT FROM published))",
     Parameter::kPublication},
    {"publication_operations", Severity::kNote,
     R"(SELECT format('The publication %I leaves out %s, so nobody is told of those.', pubname,
                 array_to_string(ARRAY[CASE WHEN NOT pubinsert THEN 'INSERT' END, CASE WHEN NOT pubupdate THEN 'UPDATE' END,
                                       CASE WHEN NOT pubdelete THEN 'DELETE' END], ', ')),
          'Publish them, unless it is meant so.', '',
          format('ALTER PUBLICATION %I SET (publish = %L);', pubname,
                 'insert, update, delete' || CASE WHEN pubtruncate THEN ', truncate' ELSE '' END)
        FROM publication WHERE NOT (pubinsert AND pubupdate AND pubdelete))",
     Parameter::kPublication},
    {"publication_of_the_server", Severity::kNote,
     R"(SELECT format('The publication %I has tables of the server itself: {}. Each of their rows is read twice, and may be told as a row change.', pubname),
          'Take them out. A publication FOR ALL TABLES has to name its tables or schemas for that.', p.name,
          CASE WHEN r.prrelid IS NOT NULL THEN format('ALTER PUBLICATION %I DROP TABLE %s;', pubname, r.prrelid::regclass)
               WHEN NOT puballtables THEN format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA realtime;', pubname) END
        FROM publication, published p
        LEFT JOIN pg_publication_rel r ON r.prpubid = (SELECT oid FROM publication)
          AND r.prrelid IN (SELECT p.oid UNION ALL SELECT relid FROM pg_partition_ancestors(p.oid))
        WHERE p.is_of_the_server)",
     Parameter::kPublication},
    {"replica_identity", Severity::kWarning,
     R"(SELECT 'PostgreSQL refuses UPDATE and DELETE, which are published, for want of a replica identity: {}.',
          'Let it be the primary key where there is one, else all columns.', format('%I.%I', n.nspname, c.relname),
          format('ALTER TABLE %I.%I REPLICA IDENTITY %s;', n.nspname, c.relname, CASE WHEN has_key THEN 'DEFAULT' ELSE 'FULL' END)
        FROM publication CROSS JOIN published p
        LEFT JOIN LATERAL (SELECT relid FROM pg_partition_tree(p.oid) WHERE isleaf AND p.relkind = 'p') AS leaf ON true
        JOIN pg_class c ON c.oid = CASE WHEN p.relkind = 'p' THEN leaf.relid ELSE p.oid END
        JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_index
                                           WHERE indrelid = c.oid AND indisprimary AND indimmediate AND indisvalid) AS has_key) AS k
        WHERE (pubupdate OR pubdelete) AND NOT p.is_of_the_server
          AND CASE c.relreplident WHEN 'n' THEN true WHEN 'd' THEN NOT has_key
                WHEN 'i' THEN NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisreplident) ELSE false END)",
     Parameter::kPublication},
    {"no_primary_key", Severity::kNote,
     R"(SELECT 'Of an INSERT or UPDATE clients are told `Error 400: Bad Request, no primary key` instead of the row: {}.',
          'Give these tables a primary key.', name,
          CASE WHEN relkind = 'r' AND NOT relispartition THEN format('ALTER TABLE %s ADD %s;', name,
            CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = p.oid AND attname = 'id' AND NOT attisdropped)
                 THEN 'PRIMARY KEY (id)' ELSE 'COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY' END) END
        FROM published p
        WHERE NOT is_of_the_server AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = p.oid AND indisprimary))",
     Parameter::kPublication},
    {"rls_without_policy", Severity::kNote,
     R"(SELECT 'With row-level security, and without a policy that lets anon or authenticated SELECT, their clients are told no INSERT or UPDATE: {}.',
          'Make policies that say who may see which rows: CREATE POLICY ... ON ... FOR SELECT TO authenticated USING (...);', name, NULL
        FROM published p
        WHERE NOT is_of_the_server AND relrowsecurity AND NOT EXISTS (
          SELECT FROM pg_roles r
          WHERE r.rolname IN ('anon', 'authenticated') AND (r.rolbypassrls OR r.rolsuper OR EXISTS (
            SELECT FROM pg_policy, unnest(polroles) AS whom (oid)
            WHERE polrelid = p.oid AND polpermissive AND polcmd IN ('r', '*')
              AND CASE WHEN whom.oid = 0 THEN true ELSE pg_has_role(r.oid, whom.oid, 'USAGE') END))))",
     Parameter::kPublication},
    {"table_privileges", Severity::kNote,
     R"(SELECT format('The role %I may not read {}. Of an INSERT or UPDATE there its clients are told `Error 401: Unauthorized`.', rolname),
          'Grant it SELECT, if its clients may have these tables.', name, format('GRANT SELECT ON %s TO %I;', name, rolname)
        FROM published p, pg_roles r
        WHERE NOT is_of_the_server AND rolname IN ('anon', 'authenticated') AND EXISTS (
          SELECT FROM pg_index, unnest(indkey::int2[]) AS key (number)
          WHERE indrelid = p.oid AND indisprimary AND NOT has_column_privilege(r.oid, p.oid, key.number, 'SELECT')))",
     Parameter::kPublication},
    {"table_schema_usage", Severity::kNote,
     R"(SELECT format('The role %I may not use the schema %s, so its clients are told no INSERT or UPDATE where row-level security is on: {}.', rolname, schema::regnamespace),
          'Grant it USAGE, if its clients may have these tables.', name,
          format('GRANT USAGE ON SCHEMA %s TO %I;', schema::regnamespace, rolname)
        FROM published, pg_roles r
        WHERE NOT is_of_the_server AND relrowsecurity AND rolname IN ('anon', 'authenticated')
          AND NOT has_schema_privilege(r.oid, schema, 'USAGE'))",
     Parameter::kPublication},
};

}  // namespace

std::span<const Check> publication_checks() { return kPublication; }

std::string of_published_tables(const char* check) {
  constexpr const char* kPublished =
      R"(WITH publication AS (SELECT * FROM pg_publication WHERE pubname = $1::text),
           published AS (
             SELECT c.oid, c.relnamespace AS schema, c.relkind, c.relispartition, c.relrowsecurity,
               format('%I.%I', n.nspname, c.relname) AS name, n.nspname = 'realtime' AS is_of_the_server
             FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename WHERE t.pubname = $1::text),
           found (problem, remedy, name, sql) AS ()";
  constexpr const char* kTogether =
      R"() SELECT replace(problem, '{}', array_to_string((array_agg(name ORDER BY name))[1:10], ', ')
                     || CASE WHEN count(*) > 10 THEN format(' and %s more', count(*) - 10) ELSE '' END),
             remedy, coalesce(string_agg(DISTINCT sql, E'\n'), '')
           FROM found GROUP BY problem, remedy ORDER BY problem)";
  return std::string(kPublished) + check + kTogether;
}

}  // namespace rt::app
