#include "services/database/catalog_types.h"

#include <charconv>
#include <string>
#include <utility>

namespace rt::database {
namespace {

using changes::Oid;
using changes::Type;
using changes::TypeKind;

// Operators are named by their schema for the reason that policy_probes.cc gives.
//
// An array is what Postgres takes for one when it makes JSON: a type with elements, of variable length, with the
// subscripts of arrays. int2vector and oidvector are such, too. A cast to json is looked for as it does it: one by a
// function, from a type that is not built in, nor an array or a composite.
//
// The name of a type with its schema stands for the type without a modifier, where `character` would mean one
// character. One row for each field of a composite type, in order; one row for any other.
const std::string kTypes = R"(WITH RECURSIVE part (oid) AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[])
  UNION
  SELECT made_of.oid FROM part JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) part.oid, LATERAL (
    SELECT t.typbasetype WHERE t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char"
    UNION ALL
    SELECT t.typelem WHERE t.typsubscript::pg_catalog.oid OPERATOR(pg_catalog.=)
      'pg_catalog.array_subscript_handler'::pg_catalog.regproc::pg_catalog.oid
    UNION ALL
    SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char" AND
      a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND
      NOT a.attisdropped) AS made_of (oid))
SELECT t.oid, t.typname, n.nspname, t.typtype, t.typcategory, e.oid, e.typdelim, t.typbasetype,
  t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND e.oid IS NULL AND
    t.typtype OPERATOR(pg_catalog.<>) ALL ('{c,d}'::pg_catalog."char"[]) AND
    EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource OPERATOR(pg_catalog.=) t.oid AND
      c.casttarget OPERATOR(pg_catalog.=) 'pg_catalog.json'::pg_catalog.regtype::pg_catalog.oid AND
      c.castmethod OPERATOR(pg_catalog.=) 'f'::pg_catalog."char"),
  pg_catalog.concat(pg_catalog.quote_ident(n.nspname::pg_catalog.text), '.',
    pg_catalog.quote_ident(t.typname::pg_catalog.text)),
  a.attname, a.atttypid
FROM part JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) part.oid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
  LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem AND t.typlen OPERATOR(pg_catalog.=)
    (-1)::pg_catalog.int2 AND t.typsubscript::pg_catalog.oid OPERATOR(pg_catalog.=)
    'pg_catalog.array_subscript_handler'::pg_catalog.regproc::pg_catalog.oid
  LEFT JOIN pg_catalog.pg_attribute a ON t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char" AND
    a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND
    NOT a.attisdropped
ORDER BY t.oid, a.attnum LIMIT )" +
                           std::to_string(kTypeRowsMax);

enum Column : std::size_t {
  kOid,
  kName,
  kSchema,
  kKind,
  kCategory,
  kElement,
  kDelimiter,
  kBase,
  kHasJsonCast,
  kSqlName,
  kFieldName,
  kFieldType,
  kColumns,
};

Oid oid_of(std::optional<std::string_view> digits) {
  Oid out = 0;
  if (digits) std::from_chars(digits->data(), digits->data() + digits->size(), out);
  return out;
}

char letter_of(std::optional<std::string_view> text, char otherwise) {
  return text && text->size() == 1 ? text->front() : otherwise;
}

TypeKind kind_of(char letter) {
  switch (letter) {
    case 'c':
      return TypeKind::kComposite;
    case 'd':
      return TypeKind::kDomain;
    case 'e':
      return TypeKind::kEnum;
    case 'r':
      return TypeKind::kRange;
    case 'm':
      return TypeKind::kMultirange;
    case 'p':
      return TypeKind::kPseudo;
    default:
      return TypeKind::kBase;
  }
}

Type read_type(const postgres::Rows& rows, std::size_t row) {
  const auto text = [&](Column column) { return std::string(rows.text(row, column).value_or("")); };
  return {.oid = oid_of(rows.text(row, kOid)),
          .name = text(kName),
          .schema = text(kSchema),
          .kind = kind_of(letter_of(rows.text(row, kKind), 'b')),
          .category = letter_of(rows.text(row, kCategory), 'U'),
          .element = oid_of(rows.text(row, kElement)),
          .delimiter = letter_of(rows.text(row, kDelimiter), ','),
          .base = oid_of(rows.text(row, kBase)),
          .has_json_cast = rows.text(row, kHasJsonCast) == "t",
          .sql_name = text(kSqlName)};
}

}  // namespace

postgres::Statement types_statement(const std::vector<Oid>& oids) {
  std::string array = "{";
  for (const Oid oid : oids) array.append(array.size() == 1 ? "" : ",").append(std::to_string(oid));
  return {.sql = kTypes, .parameters = {array + "}"}};
}

void read_types(const postgres::Rows& rows, changes::Types& types) {
  if (rows.columns() != kColumns) return;
  for (std::size_t row = 0; row < rows.size();) {
    Type type = read_type(rows, row);
    for (; row < rows.size() && oid_of(rows.text(row, kOid)) == type.oid; ++row) {
      if (const auto name = rows.text(row, kFieldName))
        type.fields.push_back({std::string(*name), oid_of(rows.text(row, kFieldType))});
    }
    types.put(std::move(type));
  }
}

}  // namespace rt::database
