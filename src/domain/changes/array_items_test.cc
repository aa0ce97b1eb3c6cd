#include "domain/changes/array_items.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

using Items = std::vector<std::optional<std::string>>;

TEST_CASE("arrays are taken apart as Postgres writes them") {
  CHECK(array_items("{}") == Items{});
  CHECK(array_items("{1,2}") == Items{"1", "2"});
  CHECK(array_items(R"({"a,b",c,"",NULL,"NULL"})") == Items{"a,b", "c", "", std::nullopt, "NULL"});
  CHECK(array_items(R"({"say \"hi\"","\\x01","{}"})") == Items{R"(say "hi")", R"(\x01)", "{}"});
  CHECK(array_items("{{1,2},{3,4}}") == Items{"1", "2", "3", "4"});
  CHECK(array_items("[0:1]={a,b}") == Items{"a", "b"});
}

TEST_CASE("and as people write them") {
  CHECK(array_items(" { a b , \" c \" ,null } ") == Items{"a b", " c ", std::nullopt});
  CHECK(array_items(R"({a\,b,n\ull,\ })") == Items{"a,b", "null", " "});
}

TEST_CASE("what is no array is none") {
  for (const char* text : {"", "a", "{", "{a", "{a,}", "{a,,b}", "{\"a}", "{a\\", "{a}b", "}", ",", "[1:2]", "{{a}"})
    CHECK_FALSE(array_items(text).has_value());
}

}  // namespace
}  // namespace rt::changes
