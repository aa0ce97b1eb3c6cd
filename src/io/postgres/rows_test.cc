#include "io/postgres/rows.h"

#include <doctest/doctest.h>

namespace rt::postgres {
namespace {

TEST_CASE("an empty text is not NULL") {
  Rows rows;
  rows.add_column("a");
  rows.add_column("b");
  CHECK(rows.empty());
  rows.add_field("");
  rows.add_field(std::nullopt);
  rows.add_field("x");
  rows.add_field("yz");
  REQUIRE(rows.size() == 2);
  CHECK(rows.column_name(1) == "b");
  CHECK(rows.text(0, 0) == "");
  CHECK(rows.text(0, 1) == std::nullopt);
  CHECK(rows.text(1, 0) == "x");
  CHECK(rows.text(1, 1) == "yz");
}

TEST_CASE("a statement without columns has no rows") {
  Rows rows;
  rows.set_command_tag("SET");
  CHECK(rows.size() == 0);
  CHECK(rows.command_tag() == "SET");
}

}  // namespace
}  // namespace rt::postgres
