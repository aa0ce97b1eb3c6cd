#include "domain/changes/value_json.h"

#include <doctest/doctest.h>

#include "domain/changes/builtin_types.h"

namespace rt::changes {
namespace {

constexpr Oid kText = 25;
constexpr Oid kBpchar = 1042;
constexpr Oid kBit = 1560;
constexpr Oid kDate = 1082;
constexpr Oid kBox = 603;

// Of users.
enum : Oid {
  kMood = 20'000,
  kPair,
  kPairs,
  kTree,
  kLoop,
  kLoops,
  kWhole,
  kBroken,
  kRaw,
  kInstant,
  kWholes,
  kHstore,
  kSettings,
  kSettingsList,
  kConfigured,
  kUnknown,
};

Types some_types() {
  Types out;
  const auto array = [&out](Oid oid, Oid element, char delimiter = ',') {
    out.put(
        {.oid = oid, .name = "_" + std::to_string(element), .schema = "", .element = element, .delimiter = delimiter});
  };
  const auto domain = [&out](Oid oid, Oid base) {
    out.put({.oid = oid, .name = "domain", .schema = "", .kind = TypeKind::kDomain, .base = base});
  };
  const auto composite = [&out](Oid oid, std::vector<TypeField> fields) {
    out.put({.oid = oid, .name = "composite", .schema = "", .kind = TypeKind::kComposite, .fields = std::move(fields)});
  };
  array(1000, kBoolOid);
  array(1001, kByteaOid);
  array(1007, kInt4Oid);
  array(1009, kText);
  array(1022, kFloat8Oid);
  array(1020, kBox, ';');
  array(1185, kTimestampTzOid);
  array(1006, kInt2VectorOid);
  array(199, kJsonOid);
  out.put({.oid = kMood, .name = "mood", .schema = "", .kind = TypeKind::kEnum});
  composite(kPair, {{"bb", kInt4Oid}, {"a", kText}});
  array(kPairs, kPair);
  composite(kTree, {{"pairs", kPairs}, {"raw", kByteaOid}, {"at", kTimestampOid}, {"n", kFloat8Oid}});
  composite(kLoop, {{"x", kLoops}});
  array(kLoops, kLoop);
  domain(kWhole, kInt4Oid);
  domain(kBroken, kFloat8Oid);
  domain(kRaw, kByteaOid);
  domain(kInstant, kTimestampTzOid);
  domain(kWholes, 1007);
  out.put({.oid = kHstore, .name = "hstore", .schema = "", .has_json_cast = true});
  domain(kSettings, kHstore);
  array(kSettingsList, kSettings);
  composite(kConfigured, {{"id", kInt4Oid}, {"all", kSettingsList}});
  return out;
}

const Types& types() {
  static const Types kTypes = some_types();
  return kTypes;
}

std::string column(Oid type, std::string_view text) {
  std::string out;
  append_json(out, types(), type, text);
  return out;
}

std::string nested(Oid type, std::string_view text) {
  std::string out;
  append_nested_json(out, types(), type, text);
  return out;
}

TEST_CASE("numbers are numbers with all their digits [PC-035]") {
  CHECK(column(kInt8Oid, "9223372036854775807") == "9223372036854775807");
  CHECK(column(kInt2Oid, "-1") == "-1");
  CHECK(column(kNumericOid, "1.10") == "1.10");
  CHECK(column(kNumericOid, "0.00") == "0.00");
}

TEST_CASE("floats are written out [PC-036]") {
  CHECK(column(kFloat8Oid, "1e+300") == "1" + std::string(300, '0'));
  CHECK(column(kFloat4Oid, "1e-07") == "0.0000001");
  CHECK(column(kFloat8Oid, "-0") == "0");
  CHECK(column(1022, "{1e+20,-0,0.1}") == "[100000000000000000000, 0, 0.1]");
}

TEST_CASE("what is no finite number is null in a column, and a string within a value [PC-037]") {
  for (const std::string text : {"NaN", "Infinity", "-Infinity"}) {
    for (const Oid type : {kFloat4Oid, kFloat8Oid, kNumericOid}) CHECK(column(type, text) == "null");
    CHECK(column(1022, "{" + text + "}") == "[\"" + text + "\"]");
    CHECK(column(kTree, "(,,," + text + ")") == R"({"n": ")" + text + R"(", "at": null, "raw": null, "pairs": null})");
    CHECK(column(kBroken, text) == "\"" + text + "\"");
  }
}

TEST_CASE("booleans are JSON's") {
  CHECK(column(kBoolOid, "t") == "true");
  CHECK(column(kBoolOid, "f") == "false");
  CHECK(column(1000, "{t,f,NULL}") == "[true, false, null]");
}

TEST_CASE("bytes are hexadecimal, with a prefix only within a value [PC-038]") {
  CHECK(column(kByteaOid, R"(\xdeadbeef)") == R"("deadbeef")");
  CHECK(column(kByteaOid, R"(\x)") == R"("")");
  CHECK(column(1001, R"({"\\x01","\\x"})") == R"(["\\x01", "\\x"])");
  CHECK(column(kRaw, R"(\x01)") == R"("\\x01")");
  CHECK(column(kTree, R"_((,"\\x01",,))_") == R"({"n": null, "at": null, "raw": "\\x01", "pairs": null})");
}

TEST_CASE("times have a T and an offset with minutes, also within a value [PC-039]") {
  CHECK(column(kTimestampOid, "2024-02-29 12:34:56.123456") == R"("2024-02-29T12:34:56.123456")");
  CHECK(column(kTimestampTzOid, "2024-02-29 10:34:56.1+00") == R"("2024-02-29T10:34:56.1+00:00")");
  CHECK(column(kTimestampOid, "-infinity") == R"("-infinity")");
  CHECK(column(kDate, "0044-03-15 BC") == R"("0044-03-15 BC")");
  CHECK(column(1185, R"({"2024-02-29 10:34:56-03",infinity})") == R"(["2024-02-29T10:34:56-03:00", "infinity"])");
  CHECK(column(kInstant, "2024-02-29 10:34:56+05:30") == R"("2024-02-29T10:34:56+05:30")");
}

TEST_CASE("json and jsonb are JSON, however deep in a value they are [PC-040]") {
  CHECK(column(kJsonOid, R"({"b":1,"a":[ 1e2 ]})") == R"({"a": [100], "b": 1})");
  CHECK(column(kJsonbOid, R"({"a": [100], "b": 1})") == R"({"a": [100], "b": 1})");
  CHECK(column(kJsonOid, R"({"b":"\u0000"})") == R"({"b":"\u0000"})");
  CHECK(column(199, R"({"{\"b\":1,\"a\":2}","null",NULL})") == R"([{"a": 2, "b": 1}, null, null])");
}

TEST_CASE("arrays have their elements told by their type [PC-041]") {
  CHECK(column(1007, "{1,2,NULL}") == "[1, 2, null]");
  CHECK(column(1007, "{{1,2},{3,4}}") == "[[1, 2], [3, 4]]");
  CHECK(column(1007, "[5:6]={1,2}") == "[1, 2]");
  CHECK(column(1007, "{}") == "[]");
  CHECK(column(1009, R"({a,"b c","NULL",NULL,"\"q\""})") == R"(["a", "b c", "NULL", null, "\"q\""])");
  const std::string boxes = R"_(["(1,1),(0,0)", "(2,2),(1,1)"])_";
  CHECK(column(1020, "{(1,1),(0,0);(2,2),(1,1)}") == boxes);
  CHECK(column(kInt2VectorOid, "1 2 3") == "[1, 2, 3]");
  CHECK(column(kInt2VectorOid, "") == "[]");
  CHECK(column(kOidVectorOid, "1 4294967295") == R"(["1", "4294967295"])");
  CHECK(column(1006, R"({"1 2",3})") == "[[1, 2], [3]]");
}

TEST_CASE("composite values are objects, their keys in the order of jsonb [PC-042] [PC-047]") {
  CHECK(column(kPair, "(1,\"x y\")") == R"({"a": "x y", "bb": 1})");
  CHECK(column(kPair, "(,)") == R"({"a": null, "bb": null})");
  const std::string pairs = R"_({"(1,a)","(2,\"b c\")",NULL})_";
  CHECK(column(kPairs, pairs) == R"([{"a": "a", "bb": 1}, {"a": "b c", "bb": 2}, null])");
  const std::string tree = R"_(("{""(1,a)""}",,"2024-02-29 12:34:56",1e+15))_";
  CHECK(column(kTree, tree) ==
        R"({"n": 1000000000000000, "at": "2024-02-29T12:34:56", "raw": null, "pairs": [{"a": "a", "bb": 1}]})");
}

TEST_CASE("domains are told as what they are made of [PC-042]") {
  CHECK(column(kWhole, "7") == "7");
  CHECK(column(kWholes, "{1,2}") == "[1, 2]");
}

TEST_CASE("all else is a string, and whole [PC-042] [PC-043]") {
  CHECK(column(kText, "say \"no\"") == R"("say \"no\"")");
  CHECK(column(kMood, "so so") == R"("so so")");
  CHECK(column(kOidOid, "4294967295") == R"("4294967295")");
  CHECK(column(kBpchar, "ab   ") == R"("ab   ")");
  CHECK(column(kBit, "1010") == R"("1010")");
  CHECK(column(3904, "[1,5)") == "\"[1,5)\"");
  CHECK(column(790, "$12.50") == R"("$12.50")");
  CHECK(column(600, "(1,2)") == "\"(1,2)\"");
  CHECK(column(kUnknown, "anything") == R"("anything")");
}

TEST_CASE("text that is not what its type writes is a string, where it stands") {
  CHECK(column(kInt4Oid, "one") == R"("one")");
  CHECK(column(kBoolOid, "true") == R"("true")");
  CHECK(column(1007, "{1,2") == R"("{1,2")");
  CHECK(column(1007, "{1,x}") == R"([1, "x"])");
  CHECK(column(kPair, "(1)") == "\"(1)\"");
  CHECK(column(kPairs, "{\"(1,a)\",\"(1,2,3)\"}") == "[{\"a\": \"a\", \"bb\": 1}, \"(1,2,3)\"]");
  for (const std::string text : {" 1", "1 ", "1  2", " "}) CHECK(column(kInt2VectorOid, text) == "\"" + text + "\"");
  CHECK(column(kTimestampOid, "yesterday") == R"("yesterday")");
  CHECK(column(kJsonOid, "{") == R"("{")");
}

TEST_CASE("types that have a cast to json, in whatever they are, are for Postgres to convert [PC-042]") {
  for (const Oid type : {kHstore, kSettings, kSettingsList, kConfigured}) CHECK(needs_conversion(types(), type));
  for (const Oid type : {kTree, kPairs, kMood, kLoop, kWholes, kUnknown}) CHECK(!needs_conversion(types(), type));
  CHECK(!needs_conversion(types(), kInt4Oid));
}

TEST_CASE("a catalog that says a type were made of itself leads nowhere") {
  std::string text = "{}";
  for (int i = 0; i < 12; ++i) {
    const auto quoted = [](std::string_view inner) {
      std::string out = "\"";
      for (const char c : inner) out.append(c == '"' || c == '\\' ? "\\" : "").append(1, c);
      return out + "\"";
    };
    text = "{" + quoted("(" + quoted(text) + ")") + "}";
    if (text.size() > (std::size_t{1} << 20)) break;
  }
  CHECK(nested(kLoops, text).starts_with(R"([{"x": [{"x": [{"x": )"));
  Types circular;
  circular.put({.oid = 1, .name = "a", .schema = "", .kind = TypeKind::kDomain, .base = 2});
  circular.put({.oid = 2, .name = "b", .schema = "", .kind = TypeKind::kDomain, .base = 1});
  std::string out;
  append_json(out, circular, 1, "x");
  CHECK(out == R"("x")");
  CHECK(!needs_conversion(circular, 1));
}

TEST_CASE("brackets are counted, whoever they come from") {
  const auto brackets = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(column(kJsonOid, brackets(kValueDepthMax)) == brackets(kValueDepthMax));
  CHECK(column(kJsonOid, brackets(kValueDepthMax + 1)).starts_with("\""));
  CHECK(column(199, "{\"" + brackets(kValueDepthMax - 1) + "\"}") == brackets(kValueDepthMax));
  CHECK(column(199, "{\"" + brackets(kValueDepthMax) + "\"}").starts_with("[\"[["));
}

TEST_CASE("large values take time by their size") {
  std::string numbers = "{0";
  for (int i = 0; i < 2'000'000; ++i) numbers += ",1";
  CHECK(column(1007, numbers + "}").size() == 2 + 1 + 2'000'000 * 3);

  std::string pairs = "{\"(1,\\\"a b\\\")\"";
  for (int i = 0; i < 300'000; ++i) pairs += ",\"(1,\\\"a b\\\")\"";
  CHECK(column(kPairs, pairs + "}").starts_with(R"([{"a": "a b", "bb": 1}, {"a": "a b", "bb": 1})"));
  CHECK(column(kPairs, pairs).starts_with("\"{"));

  const std::string quotes(std::size_t{8} << 20, '"');
  CHECK(column(kText, quotes).size() == 2 * quotes.size() + 2);
  CHECK(column(kPair, "(1,\"" + quotes + "\")").size() == quotes.size() + 18);
}

}  // namespace
}  // namespace rt::changes
