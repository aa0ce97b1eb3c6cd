#include "services/database/change_catalog.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <utility>

#include "services/database/asking_as.h"
#include "services/database/catalog_types.h"

namespace rt::database {
namespace {

using changes::Oid;
using changes::Table;
using changes::TableColumn;

constexpr std::chrono::seconds kTimeout{10};
constexpr std::size_t kRolesMax = 1'000;  // whose rights are kept, of one table, for longer than
constexpr std::chrono::seconds kRolesKept{300};

constexpr const char* kSafePath = "SET LOCAL search_path TO pg_catalog, pg_temp";
// What is told by the server itself must not be told by it again.
constexpr const char* kPublished =
    "SELECT c.oid, t.schemaname, t.tablename FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = "
    "t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename WHERE t.pubname = $1 AND NOT "
    "(t.schemaname = 'realtime' AND t.tablename IN ('subscription', 'schema_migrations'))";
// What a generated column reads is a dependency of its default or, in older versions, of the column.
constexpr const char* kTables =
    "SELECT c.oid, n.nspname, c.relname, c.relrowsecurity, format('%I.%I', n.nspname, c.relname), a.attnum, a.attname, "
    "a.atttypid, a.atttypmod, t.typname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1), "
    "e.equality, e.is_leakproof, "
    "a.attgenerated = 's', CASE WHEN a.attgenerated = 's' THEN pg_get_expr(d.adbin, d.adrelid) END, "
    "(SELECT string_agg(DISTINCT r.refobjsubid::text, ' ') FROM pg_depend r WHERE a.attgenerated = 's' AND "
    "r.refclassid "
    "= 'pg_class'::regclass AND r.refobjid = c.oid AND r.refobjsubid NOT IN (0, a.attnum) AND (r.classid = "
    "'pg_attrdef'::regclass AND r.objid = d.oid OR r.classid = 'pg_class'::regclass AND r.objid = c.oid AND r.objsubid "
    "= a.attnum)), pg_get_userbyid(c.relowner) "
    "FROM unnest($1::oid[]) AS w (oid) JOIN pg_class c ON c.oid = w.oid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = "
    "a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
    "LEFT JOIN LATERAL (SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname) AS equality, f.proleakproof AS "
    "is_leakproof FROM pg_index i, LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) AS k (attnum, opclass) JOIN "
    "pg_opclass p ON p.oid = k.opclass JOIN pg_amop m ON m.amopfamily = p.opcfamily AND m.amoplefttype = p.opcintype "
    "AND "
    "m.amoprighttype = p.opcintype AND m.amopstrategy = 3 JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_proc f ON "
    "f.oid = o.oprcode JOIN pg_namespace s ON s.oid = o.oprnamespace WHERE i.indrelid = c.oid AND i.indisprimary AND "
    "k.attnum = a.attnum) AS e ON true ORDER BY c.oid, a.attnum";
constexpr const char* kRights =
    "SELECT r.rolname, a.attrelid, string_agg(a.attnum::text, ' ') FROM unnest($1::text[]) AS w (role) JOIN pg_roles r "
    "ON r.rolname = w.role CROSS JOIN unnest($2::oid[]) AS t (oid) JOIN pg_attribute a ON a.attrelid = t.oid AND "
    "a.attnum > 0 AND NOT a.attisdropped WHERE has_column_privilege(r.oid, a.attrelid, a.attnum, 'SELECT') GROUP BY 1, "
    "2";

template <class T>
T number(std::optional<std::string_view> digits) {
  T out{};
  if (digits) std::from_chars(digits->data(), digits->data() + digits->size(), out);
  return out;
}

std::vector<std::int16_t> numbers(std::optional<std::string_view> text) {
  std::vector<std::int16_t> out;
  if (!text) return out;
  const char* at = text->data();
  const char* const end = at + text->size();
  while (at < end) {
    std::int16_t value{};
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{}) break;
    out.push_back(value);
    at = next == end ? next : next + 1;
  }
  return out;
}

std::string array_of(const std::vector<Oid>& oids) {
  std::string out = "{";
  for (const Oid oid : oids) out.append(out.size() > 1 ? "," : "").append(std::to_string(oid));
  return out + "}";
}

postgres::Batch batch_of(postgres::Statement statement) {
  postgres::Batch batch;
  batch.statements = {{.sql = kSafePath, .plan = postgres::Plan::kOnce}, std::move(statement)};
  batch.ends = postgres::Ends::kRolledBack;
  batch.statement_timeout = kTimeout;
  batch.limits.rows = 1'000'000;
  return batch;
}

struct Loaded {
  std::shared_ptr<Table> table;
  TableSql sql;
};

std::vector<Loaded> read_tables(const postgres::Rows& rows) {
  std::vector<Loaded> out;
  const auto text = [&rows](std::size_t row, std::size_t column) {
    return std::string(rows.text(row, column).value_or(""));
  };
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto oid = number<Oid>(rows.text(row, 0));
    if (out.empty() || out.back().table->oid != oid) {
      out.push_back({std::make_shared<Table>(), {.name = text(row, 4), .owner = text(row, 17)}});
      Table& table = *out.back().table;
      table.oid = oid;
      table.schema = text(row, 1);
      table.name = text(row, 2);
      table.has_row_security = rows.text(row, 3) == "t";
    }
    Loaded& loaded = out.back();
    const auto equality = rows.text(row, 12);
    if (equality) {
      loaded.table->primary_key.push_back(loaded.table->columns.size());
      const bool is_leakproof = rows.text(row, 13) == "t";
      loaded.sql.is_key_leakproof = is_leakproof && (loaded.sql.key_equality.empty() || loaded.sql.is_key_leakproof);
      loaded.sql.key_equality.emplace_back(*equality);
    }
    loaded.sql.types.push_back(text(row, 11));
    loaded.table->columns.push_back({.name = text(row, 6),
                                     .number = number<std::int16_t>(rows.text(row, 5)),
                                     .type = number<Oid>(rows.text(row, 7)),
                                     .type_modifier = number<std::int32_t>(rows.text(row, 8)),
                                     .type_name = text(row, 9),
                                     .type_text = text(row, 10),
                                     .is_primary_key = equality.has_value(),
                                     .is_generated = rows.text(row, 14) == "t",
                                     .expression = text(row, 15),
                                     .expression_columns = numbers(rows.text(row, 16))});
  }
  return out;
}

}  // namespace

postgres::Task<postgres::Result<std::vector<PublishedTable>>> find_published_tables(postgres::Pool& pool,
                                                                                    std::string publication) {
  const auto reply = co_await pool.run(
      batch_of({.sql = kPublished, .parameters = {std::move(publication)}, .plan = postgres::Plan::kOnce}));
  if (!reply) co_return tl::make_unexpected(reply.error());
  const postgres::Rows& rows = reply->back();
  std::vector<PublishedTable> out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    out.push_back({number<Oid>(rows.text(row, 0)), std::string(rows.text(row, 1).value_or("")),
                   std::string(rows.text(row, 2).value_or(""))});
  }
  co_return out;
}

const CatalogTable* ChangeCatalog::find(Oid table) const {
  const auto found = tables_.find(table);
  return found == tables_.end() ? nullptr : &found->second.facts;
}

const std::vector<bool>& ChangeCatalog::readable(const std::string& role, const Table& table) const {
  static const std::vector<bool> kNothing;
  const auto of_table = rights_.find(table.oid);
  if (of_table == rights_.end()) return kNothing;
  const auto found = of_table->second.find(role);
  return found == of_table->second.end() ? kNothing : found->second.columns;
}

bool ChangeCatalog::is_gone(Oid table) const {
  const auto found = tables_.find(table);
  return found != tables_.end() && found->second.is_gone;
}

void ChangeCatalog::forget(Oid table) {
  tables_.erase(table);
  rights_.erase(table);
}

postgres::Task<postgres::Result<void>> ChangeCatalog::load(std::vector<Oid> tables) {
  if (tables.empty()) co_return postgres::Result<void>{};
  const Time now = clock_.now();  // what is told is no older than that
  const auto reply =
      co_await pool_.run(batch_of({.sql = kTables, .parameters = {array_of(tables)}, .plan = postgres::Plan::kOnce}));
  if (!reply) co_return tl::make_unexpected(reply.error());
  std::vector<Loaded> loaded = read_tables(reply->back());
  std::set<Oid> unknown;
  for (const Loaded& one : loaded) {
    for (const TableColumn& column : one.table->columns) unknown.insert(column.type);
  }
  // A type may have changed under its oid, so a table that is another one has its types read again.
  std::erase_if(unknown, [this](Oid type) { return types_.find(type) != nullptr; });
  for (const Loaded& one : loaded) {
    const auto known = tables_.find(one.table->oid);
    if (known == tables_.end() || *known->second.facts.table == *one.table) continue;
    for (const TableColumn& column : one.table->columns) unknown.insert(column.type);
  }
  if (!unknown.empty()) {
    const auto types = co_await pool_.run(batch_of(types_statement({unknown.begin(), unknown.end()})));
    if (!types) co_return tl::make_unexpected(types.error());
    read_types(types->back(), types_);
  }
  std::set<Oid> gone(tables.begin(), tables.end());
  for (Loaded& one : loaded) {
    gone.erase(one.table->oid);
    Known& known = tables_[one.table->oid];
    // Whoever holds the table sees at its address whether it is another one.
    if (!known.facts.table || *known.facts.table != *one.table) known.facts.table = std::move(one.table);
    known.facts.sql = std::move(one.sql);
    known.loaded_at = now;
    known.is_gone = false;
  }
  for (const Oid oid : gone) {
    const auto known = tables_.find(oid);
    if (known == tables_.end()) continue;
    known->second.loaded_at = now;
    known->second.is_gone = true;
  }
  co_return postgres::Result<void>{};
}

postgres::Task<postgres::Result<std::vector<Oid>>> ChangeCatalog::refresh(std::vector<Oid> tables,
                                                                          std::set<std::string> roles) {
  const Time now = clock_.now();
  std::vector<Oid> stale;
  std::unordered_map<Oid, std::shared_ptr<const Table>> before;
  std::vector<Oid> unsure;
  std::set<std::string> asked;
  for (const Oid oid : tables) {
    const auto known = tables_.find(oid);
    if (known == tables_.end() || now - known->second.loaded_at >= kFresh) stale.push_back(oid);
    before[oid] = known == tables_.end() ? nullptr : known->second.facts.table;
  }
  const auto loaded = co_await load(stale);
  if (!loaded) co_return tl::make_unexpected(loaded.error());
  std::vector<Oid> changed;
  for (const Oid oid : tables) {
    const CatalogTable* const facts = find(oid);
    if ((facts == nullptr ? nullptr : facts->table) != before[oid]) changed.push_back(oid);
    if (facts == nullptr || is_gone(oid)) continue;
    auto& of_table = rights_[oid];
    bool is_sure = true;
    for (const std::string& role : roles) {
      const auto found = of_table.find(role);
      if (found != of_table.end() && found->second.of == facts->table && now - found->second.loaded_at < kFresh)
        continue;
      is_sure = false;
      asked.insert(role);
    }
    if (!is_sure) unsure.push_back(oid);
  }
  if (!unsure.empty()) {
    const auto rights = co_await load_rights(std::move(unsure), std::move(asked));
    if (!rights) co_return tl::make_unexpected(rights.error());
  }
  co_return changed;
}

postgres::Task<postgres::Result<void>> ChangeCatalog::load_rights(std::vector<Oid> tables,
                                                                  std::set<std::string> roles) {
  const Time now = clock_.now();
  ArrayText names;
  for (const std::string& role : roles) names.add(role);
  const auto reply = co_await pool_.run(
      batch_of({.sql = kRights, .parameters = {names.take(), array_of(tables)}, .plan = postgres::Plan::kOnce}));
  if (!reply) co_return tl::make_unexpected(reply.error());
  for (const Oid oid : tables) {
    const CatalogTable* const facts = find(oid);
    if (facts == nullptr) continue;
    auto& of_table = rights_[oid];
    // Most of them are nobody's any more.
    if (of_table.size() > kRolesMax)
      std::erase_if(of_table, [&](const auto& entry) { return now - entry.second.loaded_at > kRolesKept; });
    for (const std::string& role : roles)
      of_table[role] = {std::vector<bool>(facts->table->columns.size()), facts->table, now};
  }
  const postgres::Rows& rows = reply->back();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto oid = number<Oid>(rows.text(row, 1));
    const CatalogTable* const facts = find(oid);
    if (facts == nullptr) continue;
    const auto found = rights_[oid].find(std::string(rows.text(row, 0).value_or("")));
    if (found == rights_[oid].end()) continue;
    const std::vector<std::int16_t> readable = numbers(rows.text(row, 2));
    for (std::size_t i = 0; i < facts->table->columns.size(); ++i)
      found->second.columns[i] = std::ranges::find(readable, facts->table->columns[i].number) != readable.end();
  }
  co_return postgres::Result<void>{};
}

}  // namespace rt::database
