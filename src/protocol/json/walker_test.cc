#include "protocol/json/walker.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace rt::json {
namespace {

std::uint64_t size_of(std::string_view text) {
  const auto document = walk_document(text);
  REQUIRE(document);
  return 1 + document->term_size;
}

TEST_CASE("valid JSON of every kind is accepted with its type and exact extent") {
  const std::vector<std::pair<std::string, Type>> texts = {{"null", Type::kNull},
                                                           {"true", Type::kTrue},
                                                           {"false", Type::kFalse},
                                                           {"0", Type::kNumber},
                                                           {"-0", Type::kNumber},
                                                           {"-12.5e+3", Type::kNumber},
                                                           {"1E9", Type::kNumber},
                                                           {"\"\"", Type::kString},
                                                           {"\"\\u00e9\\ud83d\\ude00\\n\"", Type::kString},
                                                           {"\"\xf0\x9f\x98\x80\"", Type::kString},
                                                           {"[]", Type::kArray},
                                                           {"{}", Type::kObject},
                                                           {"[ ]", Type::kArray},
                                                           {"{ }", Type::kObject},
                                                           {"[1, [2, {\"a\" : [ ] }] ,null]", Type::kArray},
                                                           {"{\"a\":{\"b\":[{}]},\"c\":1}", Type::kObject}};
  for (const auto& [text, type] : texts) {
    CAPTURE(text);
    const auto walked = walk_value(text + " tail");
    REQUIRE(walked);
    CHECK(walked->type == type);
    CHECK(walked->length == text.size());
    CHECK(walk_document(" \n" + text + "\t\r"));
    CHECK(!walk_document(text + "x"));
  }
}

TEST_CASE("what is not JSON is refused") {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "tru",
                           "+1",
                           "01",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "-",
                           "--1",
                           "\"",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\u123\"",
                           "\"\n\"",
                           "\"\x01\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\xff\"",
                           "\"\xed\xa0\x80\"",
                           "[",
                           "]",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{",
                           "}",
                           "{1:2}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{\"a\" 1}",
                           "{,}",
                           "[}",
                           "{]",
                           "'a'",
                           "NaN",
                           "Infinity",
                           "1 1"}) {
    CAPTURE(text);
    CHECK(!walk_document(text));
  }
}

TEST_CASE("nesting is bounded") {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(walk_document(nested(kDepthMax)));
  CHECK(!walk_document(nested(kDepthMax + 1)));
  CHECK(!walk_document(std::string(1'000'000, '[')));
  CHECK(walk_document(nested(3), 3));
  CHECK(!walk_document(nested(4), 3));
  CHECK(walk_document("1", 0));
}

TEST_CASE("a payload is measured as its size limit is stated") {
  CHECK(size_of("{}") == 6);
  CHECK(size_of(R"({"a":"b"})") == 18);
  CHECK(size_of("[]") == 2);
  CHECK(size_of("[1,2,255]") == 1 + 3 + 3);
  CHECK(size_of("[1,2,256]") == 1 + 6 + 2 + 2 + 5);
  CHECK(size_of("[-1]") == 1 + 6 + 5);
  CHECK(size_of("[\"a\"]") == 1 + 6 + 6);
  CHECK(size_of("[[]]") == 1 + 6 + 1);
  CHECK(size_of("0") == 3);
  CHECK(size_of("-0") == 3);
  CHECK(size_of("255") == 3);
  CHECK(size_of("256") == 6);
  CHECK(size_of("2147483647") == 6);
  CHECK(size_of("2147483648") == 1 + 3 + 4);
  CHECK(size_of("-2147483648") == 6);
  CHECK(size_of("-2147483649") == 1 + 3 + 4);
  CHECK(size_of("4294967296") == 1 + 3 + 5);
  CHECK(size_of("18446744073709551615") == 1 + 3 + 8);
  CHECK(size_of("18446744073709551616") == 1 + 3 + 9);
  CHECK(size_of("1" + std::string(100, '0')) == 1 + 3 + 42);
  CHECK(size_of("1.0") == 10);
  CHECK(size_of("1e3") == 10);
  CHECK(size_of("true") == 7);
  CHECK(size_of("false") == 8);
  CHECK(size_of("null") == 6);
  CHECK(size_of(R"("\u00e9\n\ud83d\ude00")") == 1 + 5 + 2 + 1 + 4);
  CHECK(size_of(R"({"k":[true,{"x":null}]})") == 1 + 5 + (5 + 1) + 6 + 6 + (5 + 5 + 1 + 5));
}

TEST_CASE("an array of more than 65535 small integers is measured element by element") {
  std::string text = "[1";
  for (int i = 1; i < 65535; ++i) text += ",1";
  CHECK(size_of(text + "]") == 1 + 3 + 65535);
  CHECK(size_of(text + ",1]") == 1 + 6 + 65536 * 2);
}

TEST_CASE("a valid text cut short is never valid, wherever it is cut") {
  const std::string text = R"({"a":[1,-2.5e3,"\u00e9\ud83d\ude00 é",true,false,null,{"b":{}}],"c":"x"})";
  REQUIRE(walk_document(text));
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    const std::string piece(text.data(), cut);  // of its own, so that a read beyond it is seen by the sanitizer
    CHECK(!walk_document(piece));
  }
}

}  // namespace
}  // namespace rt::json
