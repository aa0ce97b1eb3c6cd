#include "domain/changes/record_text.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

// Fields between bars; `broken` where it is no value of so many.
std::string read(std::string_view text, std::size_t fields) {
  RecordReader in(text);
  std::string out;
  for (std::size_t i = 0; i < fields; ++i) {
    const RecordReader::Step step = in.next();
    if (step == RecordReader::Step::kBroken) return "broken";
    out += i == 0 ? "" : " ";
    out += step == RecordReader::Step::kNull ? "null" : "|" + std::string(in.field()) + "|";
  }
  return in.is_complete(fields) ? out : "broken";
}

TEST_CASE("composite values are read as Postgres writes them [PC-042]") {
  CHECK(read("(1,abc)", 2) == "|1| |abc|");
  CHECK(read("(,)", 2) == "null null");
  CHECK(read("()", 1) == "null");
  CHECK(read("()", 0) == "");
  CHECK(read("(\"\")", 1) == "||");
  const std::string escaped = R"_(("a b","x,y)","say ""no""","back\\slash",))_";
  CHECK(read(escaped, 5) == R"_(|a b| |x,y)| |say "no"| |back\slash| null)_");
  const std::string nested = R"_(("(1,""a """"b"""""")","{""(1,2)""}"))_";
  CHECK(read(nested, 2) == R"_(|(1,"a ""b""")| |{"(1,2)"}|)_");
}

TEST_CASE("and as Postgres would accept them [PC-042]") {
  CHECK(read(R"((a"b c"d,\,e))", 2) == "|ab cd| |,e|");
  CHECK(read("(\"a\\\"b\")", 1) == "|a\"b|");
}

TEST_CASE("what is no composite value of that type is not taken for one") {
  CHECK(read("(1,2)", 1) == "broken");
  CHECK(read("(1,2)", 3) == "broken");
  CHECK(read("(1)", 0) == "broken");
  for (const char* text : {"", "(", ")", "1", "(1", "(1,", "(1,2", "(1,2)x", "(1,2))", "1,2", "(\"a,2)", "(\"a\",\"b)",
                           "(1,\\", "(1,2\\)"})
    CHECK_MESSAGE(read(text, 2) == "broken", text);
}

}  // namespace
}  // namespace rt::changes
