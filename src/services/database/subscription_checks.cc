#include "services/database/subscription_checks.h"

#include <utility>

#include "services/database/asking_as.h"

namespace rt::database {
namespace {

// A row for each filter, then one for each column, which has a name only. The filters are put together on the server,
// because a client may know their type as an earlier version had it.
//
// Privileges are told of a role `public` that nobody can have, and of none where a table has no columns, so the role is
// looked for by itself.
constexpr const char* kCheck =
    "SELECT one.column_name, one.op, one.value, one.negate, one.canonical "
    "FROM realtime.datafuse_check_subscription($1::pg_catalog.oid::pg_catalog.regclass, $2, ARRAY("
    "SELECT ROW(f.column_name, f.op, f.value, f.negate)::realtime.user_defined_filter "
    "FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::realtime.equality_op[]), "
    "pg_catalog.unnest($5::pg_catalog.text[]), pg_catalog.unnest($6::pg_catalog.bool[])) "
    "AS f (column_name, op, value, negate)), $7::pg_catalog.text[]) AS checked, LATERAL ("
    "SELECT f.column_name, f.op::pg_catalog.text, f.value, f.negate, f.canonical, f.place "
    "FROM ROWS FROM (pg_catalog.unnest(checked.sorted_filters), pg_catalog.unnest(checked.canonical_values)) "
    "WITH ORDINALITY AS f (column_name, op, value, negate, canonical, place) "
    "UNION ALL SELECT c.name, NULL, NULL, NULL, NULL, c.place "
    "FROM pg_catalog.unnest(checked.sorted_columns) WITH ORDINALITY AS c (name, place)) AS one "
    "WHERE pg_catalog.quote_ident($2)::pg_catalog.regrole IS NOT NULL ORDER BY one.op IS NULL, one.place";
constexpr std::size_t kOp = 1;  // NULL: the row is of a column

}  // namespace

postgres::Statement check_subscription(changes::Oid table, std::string_view role,
                                       const std::vector<changes::Filter>& filters,
                                       const std::optional<std::vector<std::string>>& columns) {
  ArrayText names;
  ArrayText ops;
  ArrayText values;
  ArrayText negations;
  for (const changes::Filter& filter : filters) {
    names.add(filter.column);
    ops.add(changes::name_of(filter.op));
    values.add(filter.value);
    negations.add(filter.is_negated ? "t" : "f");
  }
  std::optional<std::string> selected;
  if (columns) {
    ArrayText all;
    for (const std::string& column : *columns) all.add(column);
    selected = all.take();
  }
  // No role has a NUL in its name, nor an empty one. Behind a NUL the name would be cut off, and be that of another.
  const bool can_be = role.find('\0') == std::string_view::npos;
  return {.sql = kCheck,
          .parameters = {std::to_string(table), std::string(can_be ? role : ""), names.take(), ops.take(),
                         values.take(), negations.take(), std::move(selected)}};
}

std::vector<changes::Condition> read_conditions(const postgres::Rows& rows) {
  std::vector<changes::Condition> out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto text = [&](std::size_t column) { return std::string(rows.text(row, column).value_or("")); };
    const auto op_name = rows.text(row, kOp);
    if (!op_name) continue;
    changes::Condition& condition = out.emplace_back();
    // Nobody asked for another one, so somebody has put a function in the place of ours. No column has an empty name,
    // so what is left matches nothing.
    const auto op = changes::op_named(*op_name);
    if (op)
      condition = {.filter = {.column = text(0), .op = *op, .value = text(2), .is_negated = text(3) == "t"},
                   .canonical = text(4)};
  }
  return out;
}

std::optional<std::vector<std::string>> read_columns(const postgres::Rows& rows) {
  std::optional<std::vector<std::string>> out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (rows.text(row, kOp)) continue;
    if (!out) out.emplace();
    out->emplace_back(rows.text(row, 0).value_or(""));
  }
  return out;
}

}  // namespace rt::database
