#include "main/doctor_checks.h"

namespace rt::app {
namespace {

// An identifier is formatted by %I, so that SQL that somebody runs as a superuser means what it seems to.
constexpr Check kServer[] = {
    {"read_only", Severity::kError,
     R"(SELECT 'Transactions are read-only by default (default_transaction_read_only).', 'Allow this login to write.',
          format('BEGIN READ WRITE; ALTER ROLE %I IN DATABASE %I SET default_transaction_read_only = off; COMMIT;',
                 current_user, current_database())
        WHERE current_setting('default_transaction_read_only') = 'on')"},
    {"wal_level", Severity::kError,
     R"(SELECT format('wal_level is %s.', current_setting('wal_level')),
          'Row changes and messages from the database need logical.', 'ALTER SYSTEM SET wal_level = ''logical'';'
        WHERE current_setting('wal_level') <> 'logical')",
     Parameter::kNone, true},
    {"wal_senders", Severity::kError,
     R"(SELECT format('%s of %s WAL senders are taken (max_wal_senders); we need two, for messages and for row changes.', taken, allowed),
          'Raise the limit.', format('ALTER SYSTEM SET max_wal_senders = %s;', taken + 10)
        FROM (SELECT count(*) AS taken, current_setting('max_wal_senders')::int AS allowed
              FROM pg_stat_replication WHERE application_name NOT LIKE 'realtime%') AS senders
        WHERE allowed - taken < 2)",
     Parameter::kNone, true},
    {"replication_slots", Severity::kError,
     R"(SELECT format('%s of %s replication slots are taken (max_replication_slots); we need two, for messages and for row changes.%s', taken, allowed,
                 ' Nobody uses: ' || idle || '.'),
          'Raise the limit, or drop slots that nobody will use again with pg_drop_replication_slot().',
          format('ALTER SYSTEM SET max_replication_slots = %s;', taken + 10)
        FROM (SELECT count(*) AS taken, current_setting('max_replication_slots')::int AS allowed,
                string_agg(slot_name, ', ' ORDER BY slot_name) FILTER (WHERE NOT active) AS idle
              FROM pg_replication_slots
              WHERE slot_name NOT LIKE '%realtime%' OR database IS DISTINCT FROM current_database()) AS slots
        WHERE allowed - taken < 2)",
     Parameter::kNone, true},
    {"slots_unbounded", Severity::kWarning,
     R"(SELECT 'Durable replication slots may keep as much of the log as the disk has room for (max_slot_wal_keep_size).',
          'Set a bound that the disk can spare.',
          'ALTER SYSTEM SET max_slot_wal_keep_size = ''4GB''; SELECT pg_reload_conf();'
        WHERE $1::bool AND current_setting('max_slot_wal_keep_size') = '-1')",
     Parameter::kSlotsStay},
    {"connections", Severity::kError,
     R"(SELECT format('%s connections are left of %s (max_connections); we need %s.', greatest(allowed - taken, 0), allowed, $1::int),
          'Raise the limit, or close connections that nobody needs.',
          format('ALTER SYSTEM SET max_connections = %s;', taken + $1::int + 50)
        FROM (SELECT count(*) AS taken, current_setting('max_connections')::int
                - CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN 0
                       ELSE current_setting('superuser_reserved_connections')::int END AS allowed
              FROM pg_stat_activity
              WHERE backend_type = 'client backend' AND application_name NOT LIKE 'realtime%') AS sessions
        WHERE allowed - taken < $1::int)",
     Parameter::kFreeConnections, true},
    {"login_connection_limit", Severity::kError,
     R"(SELECT format('The login %I may have %s connections; we need %s.', rolname, rolconnlimit, $1::int),
          'Raise or remove its CONNECTION LIMIT.', format('ALTER ROLE %I CONNECTION LIMIT -1;', rolname)
        FROM pg_roles WHERE rolname = current_user AND NOT rolsuper AND rolconnlimit BETWEEN 0 AND $1::int - 1)",
     Parameter::kConnections},
    {"database_connection_limit", Severity::kError,
     R"(SELECT format('The database %I may have %s connections; we need %s.', datname, datconnlimit, $1::int),
          'Raise or remove its CONNECTION LIMIT.', format('ALTER DATABASE %I CONNECTION LIMIT -1;', datname)
        FROM pg_database WHERE datname = current_database() AND datconnlimit BETWEEN 0 AND $1::int - 1)",
     Parameter::kConnections},
    {"login_superuser", Severity::kWarning,
     R"(SELECT format('The login %I is a superuser, and so would be what triggers of users run when we check their policies.', rolname),
          'Log in with a role that has the rights which docs/operating.md lists, and no more.', ''
        FROM pg_roles WHERE rolname = current_user AND rolsuper)"},
    {"login_replication", Severity::kError,
     R"(SELECT format('The login %I may not replicate.', rolname),
          'Row changes and messages from the database need the attribute REPLICATION.', format('ALTER ROLE %I REPLICATION;', rolname)
        FROM pg_roles WHERE rolname = current_user AND NOT rolsuper AND NOT rolreplication)"},
    {"role_missing", Severity::kError,
     R"(SELECT format('The role %I does not exist, which tokens name.', wanted), 'Make it.',
          format('CREATE ROLE %I NOLOGIN NOINHERIT%s;', wanted, CASE wanted WHEN 'service_role' THEN ' BYPASSRLS' ELSE '' END)
        FROM unnest(ARRAY['anon', 'authenticated', 'service_role']) AS wanted
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted))"},
    {"role_not_settable", Severity::kError,
     R"(SELECT format('The login %I may not become %I, so it cannot ask the policies for it.', current_user, r.rolname),
          'Make the login a member of it.', format('GRANT %I TO %I;', r.rolname, current_user)
        FROM pg_roles r
        WHERE r.rolname IN ('anon', 'authenticated', 'service_role')
          AND NOT pg_has_role(current_user, r.oid,
                CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
        ORDER BY r.rolname)"},
    {"service_role_subject_to_rls", Severity::kWarning,
     R"(SELECT 'The role service_role is subject to policies.', 'Backends with its key expect to see and to send everything.',
          'ALTER ROLE service_role BYPASSRLS;'
        FROM pg_roles WHERE rolname = 'service_role' AND NOT rolbypassrls AND NOT rolsuper)"},
    {"publication_missing", Severity::kWarning,
     R"(SELECT format('There is no publication %I, so there are no row changes to subscribe to.', $1::text),
          'Make it, and add the tables whose changes clients may have: ALTER PUBLICATION ... ADD TABLE ...',
          format('CREATE PUBLICATION %I;', $1::text)
        WHERE NOT EXISTS (SELECT FROM pg_publication WHERE pubname = $1::text))",
     Parameter::kPublication},
};

constexpr Check kSchema[] = {
    {"schema_usage", Severity::kError,
     R"(SELECT format('The role %I may not use the schema realtime.', rolname), 'Grant it.',
          format('GRANT USAGE ON SCHEMA realtime TO %I;', rolname)
        FROM pg_roles
        WHERE rolname IN ('anon', 'authenticated', 'service_role') AND NOT has_schema_privilege(oid, 'realtime', 'USAGE')
        ORDER BY rolname)"},
    {"messages_privileges", Severity::kError,
     R"(SELECT format('The role %I lacks rights on realtime.messages, so no policy can allow it anything.', rolname), 'Grant them.',
          format('GRANT SELECT, INSERT, UPDATE ON realtime.messages TO %I;', rolname)
        FROM pg_roles, to_regclass('realtime.messages') AS messages
        WHERE rolname IN ('anon', 'authenticated', 'service_role') AND messages IS NOT NULL
          AND NOT (has_table_privilege(oid, messages, 'SELECT') AND has_table_privilege(oid, messages, 'INSERT')
                   AND has_table_privilege(oid, messages, 'UPDATE'))
        ORDER BY rolname)"},
    {"messages_privileges_too_wide", Severity::kWarning,
     R"(SELECT format('The role %I may delete or truncate messages.', rolname), 'Revoke that.',
          format('REVOKE DELETE, TRUNCATE ON realtime.messages FROM %I;', rolname)
        FROM pg_roles, to_regclass('realtime.messages') AS messages
        WHERE rolname IN ('anon', 'authenticated') AND messages IS NOT NULL
          AND (has_table_privilege(oid, messages, 'DELETE') OR has_table_privilege(oid, messages, 'TRUNCATE'))
        ORDER BY rolname)"},
    {"rls_disabled", Severity::kError,
     R"(SELECT 'Row-level security is off for realtime.messages, so everybody may read and send everything.', 'Switch it on.',
          'ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;'
        FROM pg_class WHERE oid = to_regclass('realtime.messages') AND NOT relrowsecurity)"},
    {"rls_forced", Severity::kError,
     R"(SELECT 'Row-level security is forced on the owner of realtime.messages, too.', 'The owner has to be exempt from it.',
          'ALTER TABLE realtime.messages NO FORCE ROW LEVEL SECURITY;'
        FROM pg_class WHERE oid = to_regclass('realtime.messages') AND relforcerowsecurity)"},
    {"login_subject_to_rls", Severity::kError,
     R"(SELECT format('The login %I is subject to the policies on realtime.messages, so every private channel would be denied.', current_user),
          'Make it a member of the owner of the table.', format('GRANT %I TO %I;', pg_get_userbyid(relowner), current_user)
        FROM pg_class
        WHERE oid = to_regclass('realtime.messages') AND NOT relforcerowsecurity AND relrowsecurity
          AND row_security_active(oid))"},
    {"login_not_owner", Severity::kError,
     R"(SELECT format('The login %I is no member of the owner of realtime.messages, so it can make no partitions.', current_user),
          'Make it one.', format('GRANT %I TO %I;', pg_get_userbyid(relowner), current_user)
        FROM pg_class
        WHERE oid = to_regclass('realtime.messages') AND NOT pg_has_role(current_user, relowner, 'USAGE')
          AND NOT row_security_active(oid))"},
    {"messages_publication", Severity::kError,
     R"(SELECT format('There is no publication of realtime.messages, and of nothing else, and the login %I may not make it.', current_user),
          'Make it, or let the login do so: GRANT CREATE ON DATABASE ...',
          'DROP PUBLICATION IF EXISTS supabase_realtime_messages_publication; '
          'CREATE PUBLICATION supabase_realtime_messages_publication FOR TABLE realtime.messages;'
        FROM pg_class c LEFT JOIN pg_publication p ON p.pubname = 'supabase_realtime_messages_publication'
        WHERE c.oid = to_regclass('realtime.messages')
          AND NOT (has_database_privilege(current_database(), 'CREATE') AND pg_has_role(c.relowner, 'USAGE')
                   AND (p.oid IS NULL OR pg_has_role(p.pubowner, 'USAGE')))
          AND NOT coalesce(p.pubinsert AND (
                SELECT count(*) > 0 AND bool_and(t.schemaname = 'realtime' AND t.tablename ~ '^messages(_|$)')
                FROM pg_publication_tables t WHERE t.pubname = p.pubname), false))"},
    {"partitions", Severity::kError,
     R"(SELECT format('realtime.messages lacks partitions: the next %s of 3 days have theirs.', ahead),
          'Make those of the next days; realtime.send() makes only the one that it needs.',
          'SELECT realtime.datafuse_make_partition((now() AT TIME ZONE ''utc'')::date + n) FROM generate_series(-1, 30) AS n;'
        FROM (SELECT coalesce(min(n) FILTER (WHERE NOT is_there), 3) AS ahead
              FROM (SELECT n, EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                                      WHERE i.inhparent = to_regclass('realtime.messages') AND c.relname = 'messages_'
                                        || to_char((now() AT TIME ZONE 'utc')::date + n, 'YYYY_MM_DD')) AS is_there
                    FROM generate_series(0, 3) AS n) AS days) AS found
        WHERE ahead < 3 AND to_regclass('realtime.messages') IS NOT NULL)"},
};

constexpr Check kUnreadableVersions[] = {
    {"versions_unreadable", Severity::kError,
     R"(SELECT format('The login %I may not read realtime.schema_migrations, so we cannot tell how far another server is.', current_user),
          'Let it, or run `realtime doctor` and the server with the login that made the schema.',
          format('GRANT USAGE ON SCHEMA realtime TO %1$I; GRANT SELECT ON realtime.schema_migrations TO %1$I;', current_user))"},
};

}  // namespace

std::span<const Check> server_checks() { return kServer; }
std::span<const Check> schema_checks() { return kSchema; }
std::span<const Check> unreadable_versions_checks() { return kUnreadableVersions; }

const char* login_can_make_schema() {
  return R"(SELECT me.rolsuper OR (
         (CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
               ELSE pg_has_role(n.nspowner, 'USAGE') END)
         AND (CASE WHEN owner.oid IS NULL THEN me.rolcreaterole ELSE pg_has_role(owner.oid, 'USAGE') END)
         AND NOT EXISTS (SELECT FROM unnest(ARRAY['anon', 'authenticated', 'service_role']) AS wanted
                         WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)))
       FROM pg_roles me
       LEFT JOIN pg_namespace n ON n.nspname = 'realtime'
       LEFT JOIN pg_roles owner ON owner.rolname = 'supabase_realtime_admin'
       WHERE me.rolname = current_user)";
}

const char* missing_functions() {
  return R"(SELECT DISTINCT split_part(wanted, '(', 1)
       FROM unnest(ARRAY['topic()', 'send(jsonb,text,text,boolean)', 'send_binary(bytea,text,text,boolean)',
         'broadcast_changes(text,text,text,text,text,record,record,text)', 'subscription_check_filters()', 'to_regrole(text)',
         '"cast"(text,regtype)', 'check_equality_op(realtime.equality_op,regtype,text,text)',
         'check_equality_op(realtime.equality_op,regtype,text,text,boolean)',
         'is_visible_through_filters(realtime.wal_column[],realtime.user_defined_filter[])',
         'build_prepared_statement_sql(text,regclass,realtime.wal_column[])', 'apply_rls(jsonb,integer)',
         'list_changes(name,name,integer,integer)', 'quote_wal2json(regclass)', 'wal2json_escape_identifier(text)',
         'datafuse_make_partition(date)', 'datafuse_make_partition_of(timestamp without time zone)',
         'datafuse_check_subscription(regclass,text,realtime.user_defined_filter[],text[])']) AS wanted
       WHERE to_regprocedure('realtime.' || wanted) IS NULL
       ORDER BY 1)";
}

}  // namespace rt::app
