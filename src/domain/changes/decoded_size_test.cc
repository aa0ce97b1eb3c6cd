#include "domain/changes/decoded_size.h"

#include <doctest/doctest.h>

#include "domain/changes/builtin_types.h"

namespace rt::changes {
namespace {

std::shared_ptr<const Table> todos() {
  Table table{.oid = 1, .schema = "public", .name = "todos"};
  table.columns = {
      {.name = "id", .number = 1, .type = kInt8Oid, .type_name = "int8", .type_text = "bigint", .is_primary_key = true},
      {.name = "title", .number = 2, .type = 1043, .type_name = "varchar", .type_text = "character varying(80)"},
      {.name = "is_done", .number = 3, .type = kBoolOid, .type_name = "bool", .type_text = "boolean"},
      {.name = "price", .number = 4, .type = kFloat8Oid, .type_name = "float8", .type_text = "double precision"},
      {.name = "raw", .number = 5, .type = kByteaOid, .type_name = "bytea", .type_text = "bytea"},
      {.name = "mood", .number = 6, .type = 3'000'000'000, .type_name = "Mood", .type_text = "\"Mood\""},
      {.name = "doc", .number = 7, .type = kJsonOid, .type_name = "json", .type_text = "json"},
      {.name = "owner", .number = 8, .type = kOidOid, .type_name = "oid", .type_text = "oid"}};
  table.primary_key = {0};
  return std::make_shared<const Table>(std::move(table));
}

Value text(std::string_view of) { return {Value::Kind::kText, of}; }
constexpr Value kNull{Value::Kind::kNull};
constexpr Value kAbsent{Value::Kind::kAbsent};

// As jsonb, with its members in another order.
constexpr std::string_view kInsert =
    R"({"action": "I", "timestamp": "2000-01-01 00:00:00.12+00", "schema": "public", "table": "todos", "columns": [)"
    R"({"name": "id", "type": "bigint", "typeoid": 20, "value": 5}, )"
    R"_({"name": "title", "type": "character varying(80)", "typeoid": 1043, "value": "say \"no\""}, )_"
    R"({"name": "is_done", "type": "boolean", "typeoid": 16, "value": true}, )"
    R"({"name": "price", "type": "double precision", "typeoid": 701, "value": 1000000000000000}, )"
    R"({"name": "raw", "type": "bytea", "typeoid": 17, "value": "0102"}, )"
    R"({"name": "mood", "type": "Mood", "typeoid": -1294967296, "value": "fine"}, )"
    R"({"name": "doc", "type": "json", "typeoid": 114, "value": "{\"b\":1}"}, )"
    R"({"name": "owner", "type": "oid", "typeoid": 26, "value": 10}], )"
    R"("pk": [{"name": "id", "type": "bigint", "typeoid": 20}]})";
constexpr std::string_view kUpdate =
    R"({"action": "U", "timestamp": "2000-01-01 00:00:00+00", "schema": "public", "table": "todos", "columns": [)"
    R"({"name": "id", "type": "bigint", "typeoid": 20, "value": 5}, )"
    R"({"name": "price", "type": "double precision", "typeoid": 701, "value": null}, )"
    R"({"name": "mood", "type": "Mood", "typeoid": -1294967296, "value": null}], )"
    R"("identity": [{"name": "id", "type": "bigint", "typeoid": 20, "value": 5}, )"
    R"_({"name": "title", "type": "character varying(80)", "typeoid": 1043, "value": "long"}], )_"
    R"("pk": [{"name": "id", "type": "bigint", "typeoid": 20}]})";
constexpr std::string_view kDelete =
    R"({"action": "D", "timestamp": "2000-01-01 00:00:00+00", "schema": "public", "table": "none", "identity": [], "pk": []})";

TEST_CASE("a change is as large as what the reference server makes of it [PC-105]") {
  Change change{.action = Action::kInsert, .table = todos(), .committed_micros = 120'000};
  change.row = {text("5"),         text("say \"no\""), text("t"),          text("1e+15"),
                text(R"(\x0102)"), text("fine"),       text(R"({"b":1})"), text("10")};
  CHECK(decoded_bytes(change) == kInsert.size());
  CHECK(decoded_bytes_bound(change) >= kInsert.size());
}

TEST_CASE("what was not stored again does not count, and what is no number counts as null [PC-105]") {
  Change change{.action = Action::kUpdate, .table = todos()};
  change.row = {text("5"), {Value::Kind::kFromBefore, "long"}, kAbsent, text("NaN"), kAbsent, kNull, kAbsent, kAbsent};
  change.before = {text("5"), text("long")};
  CHECK(decoded_bytes(change) == kUpdate.size());
}

TEST_CASE("a table without columns can be told of, too [PC-105]") {
  const Change change{.action = Action::kDelete,
                      .table = std::make_shared<Table>(Table{.oid = 2, .schema = "public", .name = "none"})};
  CHECK(decoded_bytes(change) == kDelete.size());
}

TEST_CASE("the quick bound is never below") {
  Change change{.action = Action::kUpdate, .table = todos()};
  for (const std::string& value :
       {std::string("1e+308"), std::string("4.9e-324"), std::string(5'000, '\x01'), std::string("")}) {
    change.row.assign(8, text(value));
    change.before = change.row;
    CHECK(decoded_bytes_bound(change) >= decoded_bytes(change));
  }
}

}  // namespace
}  // namespace rt::changes
