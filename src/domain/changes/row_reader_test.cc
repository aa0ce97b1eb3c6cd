#include "domain/changes/row_reader.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

using pgoutput::Column;
using pgoutput::Field;
using pgoutput::FieldKind;

std::shared_ptr<const Table> table_of(std::vector<std::string> names) {
  auto table = std::make_shared<Table>();
  table->oid = 7;
  for (std::string& name : names) {
    TableColumn column;
    column.name = std::move(name);
    column.number = static_cast<std::int16_t>(table->columns.size() + 1);
    column.type = 25;
    table->columns.push_back(std::move(column));
  }
  return table;
}

// What is told of a row of one letter for each field that was described.
std::string told(const std::vector<std::string>& described, const std::vector<std::string>& known) {
  RowReader reader;
  std::vector<Column> columns;
  for (const std::string& name : described) columns.push_back({.name = name, .type = 25});
  const auto is_new = reader.describe({.id = 7, .schema = "public", .name = "t", .columns = columns});
  REQUIRE(is_new);
  CHECK(*is_new);
  const auto table = table_of(known);
  reader.bind(table);
  std::vector<Field> fields;
  const std::string letters = "abcdef";
  for (std::size_t i = 0; i < described.size(); ++i)
    fields.push_back({FieldKind::kText, std::string_view(letters).substr(i, 1)});
  const auto row = reader.read(pgoutput::Message(pgoutput::Insert{.relation = 7, .row = fields}));
  REQUIRE(row);
  REQUIRE(row->has_value());
  std::string out;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const Value& value = (*row)->row[i];
    if (value.kind == Value::Kind::kText) out += known[i] + "=" + std::string(value.text) + " ";
  }
  return out;
}

TEST_CASE("a row has the columns that its table has by now, and those that went are left out") {
  CHECK(told({"id", "name"}, {"id", "name"}) == "id=a name=b ");
  CHECK(told({"id", "name"}, {"id", "name", "more"}) == "id=a name=b ");
  CHECK(told({"id", "gone", "name"}, {"id", "name"}) == "id=a name=c ");
  CHECK(told({"id", "old", "name"}, {"id", "new", "name"}) == "id=a name=c ");
}

TEST_CASE("nothing is told under a name that belongs to another column by now") {
  CHECK(told({"id", "secret", "open"}, {"id", "open", "secret"}) == "id=a ");
  CHECK(told({"secret", "open"}, {"open", "older"}).empty());
  CHECK(told({"id", "secret", "open"}, {"id", "open", "secret", "more"}).empty());
}

TEST_CASE("a row of a table that was not described is a fault, one of a table that nobody knows is nobody's") {
  RowReader reader;
  const std::vector<Field> fields{{FieldKind::kText, "a"}};
  const pgoutput::Message row(pgoutput::Insert{.relation = 7, .row = fields});
  CHECK(!reader.read(row));
  const std::vector<Column> columns{{.name = "id", .type = 25}};
  REQUIRE(reader.describe({.id = 7, .schema = "public", .name = "t", .columns = columns}));
  const auto read = reader.read(row);
  REQUIRE(read);
  CHECK(!read->has_value());
}

}  // namespace
}  // namespace rt::changes
