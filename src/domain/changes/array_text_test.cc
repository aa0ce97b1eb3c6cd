#include "domain/changes/array_text.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

// Elements between bars; `broken` where it is no array.
std::string read(std::string_view text, char delimiter = ',') {
  ArrayReader in(text, delimiter);
  std::string out;
  for (;;) {
    const ArrayReader::Step step = in.next();
    if (in.has_predecessor()) out += ' ';
    switch (step) {
      case ArrayReader::Step::kOpen:
        out += '(';
        break;
      case ArrayReader::Step::kClose:
        out += ')';
        break;
      case ArrayReader::Step::kElement:
        out.append("|").append(in.element()).append("|");
        break;
      case ArrayReader::Step::kNull:
        out += "null";
        break;
      case ArrayReader::Step::kEnd:
        return out;
      case ArrayReader::Step::kBroken:
        return "broken";
    }
  }
}

TEST_CASE("arrays are read as Postgres writes them, in any dimension [PC-041]") {
  CHECK(read("{}") == "()");
  CHECK(read("{1,-2,NULL}") == "(|1| |-2| null)");
  CHECK(read("{{1,2},{3,4}}") == "((|1| |2|) (|3| |4|))");
  CHECK(read("{{{1}},{{NULL}}}") == "(((|1|)) ((null)))");
  CHECK(read(R"({"a,b","say \"no\"","back\\slash","","NULL",null,"{}"})") ==
        R"((|a,b| |say "no"| |back\slash| || |NULL| |null| |{}|))");
}

TEST_CASE("indexes that do not begin with one are left out [PC-041]") {
  CHECK(read("[0:1]={5,6}") == "(|5| |6|)");
  CHECK(read("[-2:-1][3:4]={{1,2},{3,4}}") == "((|1| |2|) (|3| |4|))");
}

TEST_CASE("boxes have commas of their own [PC-041]") {
  CHECK(read("{(1,1),(0,0);(2,2),(1,1)}", ';') == "(|(1,1),(0,0)| |(2,2),(1,1)|)");
}

TEST_CASE("what is no array is not taken for one") {
  for (const char* text : {"",
                           "1",
                           "{",
                           "}",
                           "{1",
                           "{1,",
                           "{1,}",
                           "{,1}",
                           "{1,,2}",
                           "{}{}",
                           "{1}2",
                           "{1{2}}",
                           "{{1}2}",
                           "{\"a",
                           "{\"a\\",
                           "{\"a\\\"",
                           "{\"a\"b}",
                           "{\"a\"\"b\"}",
                           "[0:1]",
                           "[0:1]=",
                           "[a]={1}",
                           "[0:1]{1}",
                           "{{{{{{{1}}}}}}}",
                           "{,}",
                           ",",
                           "{1}}"})
    CHECK_MESSAGE(read(text) == "broken", text);
}

}  // namespace
}  // namespace rt::changes
