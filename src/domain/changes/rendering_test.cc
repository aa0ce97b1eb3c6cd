#include "domain/changes/rendering.h"

#include <doctest/doctest.h>

#include "domain/changes/builtin_types.h"
#include "domain/changes/decoded_size.h"
#include "protocol/json/value.h"

namespace rt::changes {
namespace {

constexpr Oid kText = 25;
constexpr std::size_t kLarge = std::size_t{1} << 20;

Table todos() {
  Table table{.oid = 1, .schema = "public", .name = "todos"};
  table.columns = {
      {.name = "title", .number = 1, .type = kText, .type_name = "text", .type_text = "text"},
      {.name = "id", .number = 2, .type = kInt8Oid, .type_name = "int8", .type_text = "bigint", .is_primary_key = true},
      {.name = "details", .number = 4, .type = kJsonOid, .type_name = "json", .type_text = "json"}};
  table.primary_key = {1};
  return table;
}

Value text(std::string_view of) { return {Value::Kind::kText, of}; }
constexpr Value kNull{Value::Kind::kNull};
constexpr Value kAbsent{};

const Shown kAll{true, true, true};
const Types kTypes;

struct Rows {
  Values row;
  Values before;
};
Change change(Action action, Rows rows, Table table = todos()) {
  return {.action = action,
          .table = std::make_shared<const Table>(std::move(table)),
          .row = std::move(rows.row),
          .before = std::move(rows.before),
          .committed_micros = 838'555'436'123'999};
}

std::string data(const Change& of, const Shown& shown = kAll, std::size_t bytes_max = kLarge) {
  return RenderedChange(of, kTypes, bytes_max).data(shown);
}

std::string member(const std::string& data, std::string_view name) {
  REQUIRE_MESSAGE(json::walk_document(data), data);
  const auto found = json::Value(data).member(name);
  return found ? std::string(found->text()) : "none";
}

TEST_CASE("an insert is told with its new row [PC-030] [PC-033]") {
  CHECK(
      data(change(Action::kInsert, {{text("milk"), text("5"), kNull}, {}})) ==
      R"({"schema":"public","table":"todos","type":"INSERT","commit_timestamp":"2026-07-28T12:03:56.123Z",)"
      R"("columns":[{"name": "title", "type": "text"}, {"name": "id", "type": "int8"}, {"name": "details", "type": "json"}],)"
      R"("record":{"id": 5, "title": "milk", "details": null},"errors":null})");
}

TEST_CASE("an update is told with both rows [PC-030] [PC-033]") {
  CHECK(
      data(change(Action::kUpdate,
                  {{text("oat milk"), text("5"), text(R"({"b":1,"a":2})")}, {kAbsent, text("5"), kAbsent}})) ==
      R"({"schema":"public","table":"todos","type":"UPDATE","commit_timestamp":"2026-07-28T12:03:56.123Z",)"
      R"("columns":[{"name": "title", "type": "text"}, {"name": "id", "type": "int8"}, {"name": "details", "type": "json"}],)"
      R"("record":{"id": 5, "title": "oat milk", "details": {"a": 2, "b": 1}},"old_record":{"id": 5},"errors":null})");
}

TEST_CASE("a delete is told with its old row [PC-030] [PC-033]") {
  CHECK(
      data(change(Action::kDelete, {{}, {text("milk"), text("5"), kNull}})) ==
      R"({"schema":"public","table":"todos","type":"DELETE","commit_timestamp":"2026-07-28T12:03:56.123Z",)"
      R"("columns":[{"name": "title", "type": "text"}, {"name": "id", "type": "int8"}, {"name": "details", "type": "json"}],)"
      R"("old_record":{"id": 5, "title": "milk", "details": null},"errors":null})");
}

TEST_CASE("names of any kind are told as they are [PC-030]") {
  Table table = todos();
  table.schema = "my \"schema\"";
  table.name = "tab\tle \\ 😀";
  table.columns[0].name = "a \"b\"";
  table.columns[0].type_name = "My type";
  const std::string told = data(change(Action::kInsert, {{text("x"), text("5"), kAbsent}, {}}, table));
  CHECK(member(told, "schema") == R"("my \"schema\"")");
  CHECK(member(told, "table") == "\"tab\\tle \\\\ 😀\"");
  CHECK(member(told, "record") == R"({"id": 5, "a \"b\"": "x"})");
  CHECK(member(told, "columns").starts_with(R"([{"name": "a \"b\"", "type": "My type"}, )"));
}

TEST_CASE("the columns of a change are in order of the table, its values in that of jsonb [PC-032] [PC-047]") {
  Table table{.oid = 1, .schema = "public", .name = "t"};
  for (const char* name : {"zz", "b", "Ä", "aaa", "B", "a"})
    table.columns.push_back({.name = name, .type = kInt4Oid, .type_name = "int4", .type_text = "integer"});
  const std::string told = data(change(Action::kInsert, {Values(6, text("1")), {}}, table), Shown(6, true));
  CHECK(member(told, "record") == R"({"B": 1, "a": 1, "b": 1, "zz": 1, "Ä": 1, "aaa": 1})");
  CHECK(member(told, "columns")
            .starts_with(R"([{"name": "zz", "type": "int4"}, {"name": "b", "type": "int4"}, {"name": "Ä")"));
}

TEST_CASE("a recipient is told what he is shown, and no more [PC-065]") {
  const Change of =
      change(Action::kUpdate, {{text("oat milk"), text("5"), text("1")}, {text("milk"), text("5"), text("0")}});
  RenderedChange rendered(of, kTypes, kLarge);
  const std::string some = rendered.data({false, true, true});
  CHECK(member(some, "columns") == R"([{"name": "id", "type": "int8"}, {"name": "details", "type": "json"}])");
  CHECK(member(some, "record") == R"({"id": 5, "details": 1})");
  CHECK(member(some, "old_record") == R"({"id": 5, "details": 0})");
  const std::string others = rendered.data({true, false});
  CHECK(member(others, "record") == R"({"title": "oat milk"})");
  CHECK(member(others, "old_record") == R"({"title": "milk"})");
  const std::string none = rendered.data({});
  CHECK(member(none, "columns") == "[]");
  CHECK(member(none, "record") == "{}");
  CHECK(member(none, "old_record") == "{}");
  CHECK(rendered.data(kAll) == data(of));
}

TEST_CASE("a value that was stored apart and not changed is told only where it is known [PC-045]") {
  const Change unknown = change(Action::kUpdate, {{kAbsent, text("5"), text("1")}, {kAbsent, text("5"), kAbsent}});
  CHECK(member(data(unknown), "record") == R"({"id": 5, "details": 1})");
  const Change known = change(Action::kUpdate, {{{Value::Kind::kFromBefore, "long"}, text("5"), text("1")},
                                                {text("long"), text("5"), text("0")}});
  CHECK(member(data(known), "record") == R"({"id": 5, "title": "long", "details": 1})");
}

TEST_CASE("of a row that is gone only the primary key is told where policies decide who sees it [PC-063]") {
  Table table = todos();
  table.has_row_security = true;
  const Values before{text("milk"), text("5"), kNull};
  const std::string deleted = data(change(Action::kDelete, {{}, before}, table));
  CHECK(member(deleted, "old_record") == R"({"id": 5})");
  CHECK(member(deleted, "columns").find("details") != std::string::npos);
  CHECK(member(data(change(Action::kUpdate, {before, before}, table)), "old_record") ==
        R"({"id": 5, "title": "milk", "details": null})");
  table.columns[1].is_primary_key = false;
  table.primary_key.clear();
  CHECK(member(data(change(Action::kDelete, {{}, before}, table)), "old_record") == "{}");
}

TEST_CASE("what Postgres converted is told as that [PC-042]") {
  const Change of =
      change(Action::kUpdate, {{text(R"("a"=>"1")"), text("5"), kNull}, {text(R"("a"=>"0")"), text("5"), kNull}});
  RenderedChange rendered(of, kTypes, kLarge, {R"({"a": "1"})"}, {std::nullopt, std::nullopt, "never"});
  CHECK(member(rendered.data(kAll), "record") == R"({"id": 5, "title": {"a": "1"}, "details": null})");
  CHECK(member(rendered.data(kAll), "old_record") == R"({"id": 5, "title": "\"a\"=>\"0\"", "details": null})");
}

TEST_CASE("a change of the largest size is told whole, and one byte more costs it its large values [PC-105]") {
  const std::string title(100, 'x');
  const Change of = change(Action::kUpdate, {{text(title), text("5"), kNull}, {kAbsent, text("5"), kAbsent}});
  const std::size_t size = decoded_bytes(of);
  CHECK(member(data(of, kAll, size), "errors") == "null");
  CHECK(member(data(of, kAll, size), "record").find(title) != std::string::npos);

  const std::string cut = data(of, kAll, size - 1);
  CHECK(member(cut, "errors") == R"(["Error 413: Payload Too Large"])");
  CHECK(member(cut, "columns") == member(data(of), "columns"));
  CHECK(member(cut, "commit_timestamp") == member(data(of), "commit_timestamp"));
  CHECK(member(cut, "record") == R"({"id": 5})");
  CHECK(member(cut, "old_record") == R"({"id": 5})");
  CHECK(RenderedChange(of, kTypes, size - 1).is_too_large());
  CHECK(!RenderedChange(of, kTypes, size).is_too_large());
}

TEST_CASE("of a change that is too large values of up to 64 bytes stay, and NULLs do not [PC-105]") {
  const std::string short_enough(62, 'x');
  const std::string too_long(63, 'x');
  const auto record = [](std::string_view title, Value details) {
    return member(data(change(Action::kInsert, {{text(title), text("5"), details}, {}}), kAll, 10), "record");
  };
  CHECK(record(short_enough, kNull) == R"({"id": 5, "title": ")" + short_enough + "\"}");
  CHECK(record(too_long, text("{}")) == R"({"id": 5, "details": {}})");
  CHECK(record(std::string(32, '"'), kNull) == R"({"id": 5})");
  // As it is told, not as it is stored.
  CHECK(record("", text("[" + std::string(100, ' ') + "1]")) == R"({"id": 5, "title": "", "details": [1]})");
}

TEST_CASE("of a change that is too large what only the old row has is left to that [PC-105]") {
  const Change of = change(
      Action::kUpdate, {{{Value::Kind::kFromBefore, "short"}, text("5"), kNull}, {text("short"), text("5"), kNull}});
  const std::string cut = data(of, kAll, 10);
  CHECK(member(cut, "record") == R"({"id": 5})");
  CHECK(member(cut, "old_record") == R"({"id": 5, "title": "short"})");
}

TEST_CASE("who may not see a change is told why, and nothing else [PC-055] [PC-064]") {
  CHECK(error_data(change(Action::kInsert, {{text("milk"), text("5"), kNull}, {}}), kUnauthorized) ==
        R"({"schema":"public","table":"todos","type":"INSERT","commit_timestamp":null,"columns":[],"record":{},)"
        R"("errors":["Error 401: Unauthorized"]})");
  CHECK(
      error_data(change(Action::kUpdate, {{}, {}}), kNoPrimaryKey) ==
      R"({"schema":"public","table":"todos","type":"UPDATE","commit_timestamp":null,"columns":[],"record":{},"old_record":{},)"
      R"("errors":["Error 400: Bad Request, no primary key"]})");
}

TEST_CASE("a change that knows fewer columns than its table is told with those [PC-046]") {
  const Change of = change(Action::kInsert, {{text("milk")}, {}});
  CHECK(member(data(of), "record") == R"({"title": "milk"})");
}

}  // namespace
}  // namespace rt::changes
