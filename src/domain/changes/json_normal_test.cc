#include "domain/changes/json_normal.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

std::string normal(std::string_view text) { return normalised_json(text).value_or("none"); }

std::string told(std::string_view text, int depth_max = json::kDepthMax) {
  std::string out;
  append_json_text(out, text, depth_max);
  return out;
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST_CASE("JSON is told as jsonb would write it [PC-040]") {
  CHECK(normal(R"( {"b" :1,"aa":[1,2 , 3],"a":{"x":null}} )") == R"({"a": {"x": null}, "b": 1, "aa": [1, 2, 3]})");
  CHECK(normal("{}") == "{}");
  CHECK(normal("[ ]") == "[]");
  CHECK(normal("[[], {}, [{}]]") == "[[], {}, [{}]]");
  CHECK(normal("true") == "true");
  CHECK(normal(" \n\"x\"\t") == "\"x\"");
  CHECK(normal("1.50e1") == "15.0");
  CHECK(normal("[-0, 1e5, 1E-3, -0.0]") == "[0, 100000, 0.001, 0.0]");
}

TEST_CASE("of equal keys the last one stays, however it is spelled [PC-040]") {
  CHECK(normal(R"({"a":1,"a":2})") == R"({"a": 2})");
  CHECK(normal(R"({"a":1,"b":2,"\u0061":{"c":3,"c":4}})") == R"({"a": {"c": 4}, "b": 2})");
}

TEST_CASE("strings are escaped where they must be and nowhere else [PC-040]") {
  CHECK(normal(R"("\u00e9 \u20AC \ud83d\ude00 \/ \u0041")") == "\"é € 😀 / A\"");
  CHECK(normal(R"("\u0022 \u005c \u000a \u001F \b\f\n\r\t")") == R"("\" \\ \n \u001f \b\f\n\r\t")");
  CHECK(normal(R"({"\u00e9":1,"\"":2})") == "{\"\\\"\": 2, \"é\": 1}");
}

TEST_CASE("what jsonb has no value for is told as it is [PC-040]") {
  for (const std::string text : {R"({"b":1,"a":"x\u0000y"})", R"({"\u0000":1})", "[1e131072]", "1e-99999"}) {
    CHECK(normal(text) == "none");
    CHECK(told(text) == text);
    CHECK(told("\n " + text + " ") == text);
  }
}

TEST_CASE("half a surrogate pair, and bytes that are no character, are told as one that stands for any") {
  CHECK(told(R"({"b":"\ud800","a":"\udc00\ud83d\ude00"})") == "{\"a\": \"\xef\xbf\xbd😀\", \"b\": \"\xef\xbf\xbd\"}");
  CHECK(told(R"("\\ud800 \ud83dx")") == "\"\\\\ud800 \xef\xbf\xbdx\"");
  CHECK(told("{\"b\":1,\"a\":\"Zo\xeb\"}") == "{\"a\": \"Zo\xef\xbf\xbd\", \"b\": 1}");
}

TEST_CASE("what is no JSON, or nested too deep, is told as a string") {
  CHECK(told("{\"a\":") == R"("{\"a\":")");
  CHECK(told("") == R"("")");
  CHECK(told(nested(3), 3) == nested(3));
  CHECK(told(nested(4), 3) == "\"" + nested(4) + "\"");
  std::string out;
  append_jsonb_text(out, nested(4), 3);
  CHECK(out == "\"" + nested(4) + "\"");
}

TEST_CASE("short exponents do not make long messages") {
  std::string numbers = "[1e131071";
  for (int i = 0; i < 100; ++i) numbers += ",1e131071";
  numbers += "]";
  CHECK(normal("[1e131071]").size() > 131'000);
  CHECK(normal(numbers) == "none");
  CHECK(told(numbers) == numbers);
}

TEST_CASE("jsonb is told as Postgres wrote it") {
  std::string out;
  append_jsonb_text(out, R"({"a": [1, 1.50], "bb": "é\n"})");
  CHECK(out == R"({"a": [1, 1.50], "bb": "é\n"})");
  out.clear();
  append_jsonb_text(out, "{\"a\": \"Zo\xeb\"}");
  CHECK(out == "{\"a\": \"Zo\xef\xbf\xbd\"}");
}

TEST_CASE("large documents take time by their size, whatever they are like") {
  // Each of these would take minutes if something were done again for each member or level.
  std::string members = "{";
  for (int i = 300'000; i > 0; --i) members += "\"" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  members += "\"x\":1}";
  CHECK(normal(members).starts_with(R"({"1": 1, "2": 2, )"));

  std::string deep;
  for (int i = 0; i < 500; ++i) deep += R"({"bb":)";
  deep += "\"" + std::string(std::size_t{8} << 20, 'x') + "\"";
  for (int i = 0; i < 500; ++i) deep += R"(,"a":1})";
  CHECK(normal(deep).starts_with(R"({"a": 1, "bb": {"a": 1, "bb": {)"));

  const std::string escapes = "\"" + [] {
    std::string out;
    for (int i = 0; i < 500'000; ++i) out += "\\u00e9\\\\";
    return out;
  }() + "\"";
  CHECK(normal(escapes).size() == 2 + 500'000 * 4);
}

}  // namespace
}  // namespace rt::changes
