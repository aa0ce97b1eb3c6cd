#include "protocol/json/value.h"

#include <doctest/doctest.h>

namespace rt::json {
namespace {

TEST_CASE("members are found by name, whatever their spelling, and the last of equal names counts") {
  const Value value(R"({"a":1, "b" : {"a":[2,{"a":3}]},"\u0061":"x\ny"})");
  CHECK(value.member("a")->string() == "x\ny");
  CHECK(value.member("b")->member("a")->text() == R"([2,{"a":3}])");
  CHECK(!value.member("c"));
  CHECK(!value.member("b")->member("a")->member("a"));
}

TEST_CASE("elements come in order as pieces of the source") {
  Elements elements(Value(R"([ 1.50 ,"a,]", [ ] ,{"x":"}"},null])"));
  std::string seen;
  while (const auto value = elements.next()) seen += std::string(value->text()) + "|";
  CHECK(seen == R"(1.50|"a,]"|[ ]|{"x":"}"}|null|)");
}

TEST_CASE("integers are read exactly or not at all") {
  CHECK(Value("9223372036854775807").integer() == 9223372036854775807);
  CHECK(!Value("9223372036854775808").integer());
  CHECK(!Value("1.0").integer());
  CHECK(!Value("\"1\"").integer());
  CHECK(Value("1.5").number() == 1.5);
}

TEST_CASE("strings survive quoting and unescaping") {
  const std::string text = std::string("a\"b\\c\n\t\x01 \xc3\xa9") + '\0' + "z";
  CHECK(unescape(quoted(text)) == text);
  CHECK(walk_document(quoted(text)));
  CHECK(quoted("\x1f") == "\"\\u001f\"");
  for (const std::string_view any : {std::string_view(text), std::string_view("\x1f"), std::string_view("plain")})
    CHECK(quoted_size(any) == quoted(any).size());
}

TEST_CASE("equal values hash alike whatever their spelling, different ones do not") {
  const HashKey key{1, 2};
  const auto hash = [&](std::string_view text) { return hash_of(key, Value(text), "id"); };
  CHECK(hash(R"({"a":1,"b":"x"})") == hash(R"({ "b" : "\u0078", "a":1 })"));
  CHECK(hash(R"({"a":1,"id":7})") == hash(R"({"a":1})"));
  CHECK(hash(R"({"a":1})") != hash(R"({"a":1.0})"));
  CHECK(hash(R"({"a":[1,2]})") != hash(R"({"a":[2,1]})"));
  CHECK(hash(R"({"a":"1"})") != hash(R"({"a":1})"));
  CHECK(hash(R"([ [ ] , { } , {"a" : [1 , "x" ] } ])") == hash(R"([[],{},{"a":[1,"x"]}])"));
  CHECK(hash("[[],{}]") != hash("[{},[]]"));
  CHECK(hash("[[1],2]") != hash("[[1,2]]"));
  CHECK(hash(R"({"x":{"id":1}})") != hash(R"({"x":{"id":2}})"));
  CHECK(hash(R"({"a":{"b":1},"c":2})") != hash(R"({"a":{"c":2},"b":1})"));
}

}  // namespace
}  // namespace rt::json
