#include "domain/changes/request.h"

#include <doctest/doctest.h>

#include "protocol/json/value.h"

namespace rt::changes {
namespace {

Request parsed(std::string_view entry) {
  CAPTURE(entry);
  const auto document = json::walk_document(entry);
  REQUIRE(document);
  const auto request = parse_request(document->text);
  REQUIRE_MESSAGE(request, request.error());
  return *request;
}

std::string refused(std::string_view entry) {
  CAPTURE(entry);
  const auto document = json::walk_document(entry);
  REQUIRE(document);
  const auto request = parse_request(document->text);
  REQUIRE(!request);
  return request.error();
}

std::string with_filter(std::string_view filter) {
  return R"({"schema":"public","table":"todos","filter":)" + json::quoted(filter) + "}";
}

constexpr std::string_view kNoParams =
    "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: ";
constexpr std::string_view kWildcardSelect =
    "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.";
constexpr std::string_view kSelectText =
    "Error parsing `select` params: expected a list of column name strings, e.g. select: [\"col1\", \"col2\"]";

TEST_CASE("operators have the names that filters spell") {
  CHECK(name_of(Op::kEq) == "eq");
  CHECK(name_of(Op::kIn) == "in");
  CHECK(name_of(Op::kIsDistinct) == "isdistinct");
  for (int i = 0; i <= static_cast<int>(Op::kIsDistinct); ++i) {
    const Op op = static_cast<Op>(i);
    CHECK(op_named(name_of(op)) == op);
  }
  CHECK(op_named("EQ") == std::nullopt);
  CHECK(op_named("") == std::nullopt);
}

TEST_CASE("an event is one of three in any letter case, and anything else means all of them [PC-007] [P-181]") {
  const auto action = [](std::string_view event) {
    return parsed(R"({"table":"t","event":)" + std::string(event) + "}").action;
  };
  for (const char* name : {R"("INSERT")", R"("insert")", R"("Insert")"}) CHECK(action(name) == Action::kInsert);
  CHECK(action(R"("uPDATE")") == Action::kUpdate);
  CHECK(action(R"("DELETE")") == Action::kDelete);
  for (const char* other : {R"("*")", R"("FOO")", R"("")", R"(" INSERT")", R"("TRUNCATE")", "null", "7", "[]", "{}"})
    CHECK(action(other) == std::nullopt);
  CHECK(parsed(R"({"table":"t"})").action == std::nullopt);
  CHECK(parsed(R"({"table":"t"})").wants(Action::kDelete));
  CHECK(!parsed(R"({"table":"t","event":"insert"})").wants(Action::kDelete));
}

TEST_CASE("a schema means all of its tables, a table one of the schema public [PC-006] [P-182]") {
  const Request both = parsed(R"({"schema":"s","table":"t"})");
  CHECK(both == Request{.schema = "s", .table = "t"});
  CHECK(parsed(R"({"schema":"s"})") == Request{.schema = "s", .table = "*"});
  CHECK(parsed(R"({"table":"t"})") == Request{.schema = "public", .table = "t"});
  CHECK(parsed(R"({"schema":"*","table":"*","more":{"a":[1]}})") == Request{.schema = "*", .table = "*"});
  CHECK(parsed(R"({"schema":"s","table":"t","filter":"a=eq.1"})").filters ==
        std::vector{Filter{.column = "a", .value = "1"}});
  CHECK(parsed(R"({"schema":"","table":""})") == Request{.schema = "", .table = ""});
}

TEST_CASE("names are the text that JSON spells, and the last of equal members counts") {
  CHECK(parsed(R"({"t\u0061ble":"\u00e9\ud83d\ude00"})").table == "é😀");
  CHECK(parsed(R"({"table":null,"table":"b"})").table == "b");
  CHECK(refused(R"({"table":"b","table":null})") == std::string(kNoParams) + R"(%{"table" => nil})");
}

TEST_CASE("other combinations are refused, and shown to their author [PC-006] [P-183]") {
  const std::pair<const char*, const char*> kCases[] = {
      {"{}", "%{}"},
      {R"({"event":"INSERT"})", R"(%{"event" => "INSERT"})"},
      {R"({"filter":"id=eq.1"})", R"(%{"filter" => "id=eq.1"})"},
      {R"({"filter":"id=eq.1","event":"INSERT"})", R"(%{"event" => "INSERT", "filter" => "id=eq.1"})"},
      {R"({"table":"t","filter":"id=eq.1"})", R"(%{"filter" => "id=eq.1", "table" => "t"})"},
      {R"({"schema":"s","filter":"id=eq.1"})", R"(%{"filter" => "id=eq.1", "schema" => "s"})"},
      {R"({"schema":null,"table":"t"})", R"(%{"schema" => nil, "table" => "t"})"},
      {R"({"schema":"s","table":7})", R"(%{"schema" => "s", "table" => 7})"},
      {R"({"schema":"s","table":"t","filter":null})", R"(%{"filter" => nil, "schema" => "s", "table" => "t"})"},
      {R"({"table":null,"events":"*"})", R"(%{"events" => "*", "table" => nil})"},
      {R"({"schema":{"b":[true,false,-1.5e3,[]],"a":{}}})",
       R"(%{"schema" => %{"a" => %{}, "b" => [true, false, -1.5e3, []]}})"},
  };
  for (const auto& [entry, shown] : kCases) CHECK(refused(entry) == std::string(kNoParams) + shown);
}

TEST_CASE("an entry with a token is not shown [PC-006]") {
  for (const char* entry :
       {R"({"event":"*","user_token":"secret"})", R"({"auth_token":null})", R"({"auth\u005ftoken":1})"})
    CHECK(refused(entry) == std::string(kNoParams) + "<redacted>");
  CHECK(parsed(R"({"table":"t","user_token":"secret"})").table == "t");
}

TEST_CASE("of a huge entry only the beginning is shown") {
  std::string many = R"({"zz":1)";
  std::string deep = "1";
  for (int i = 0; i < 100'000; ++i) many += ",\"k" + std::to_string(i % 1000) + "\":\"" + std::to_string(i) + "\"";
  for (int i = 0; i < 400; ++i) deep = "[" + deep + "]";
  const std::string first = refused(many + "}");
  CHECK(first.starts_with(std::string(kNoParams) + R"(%{"k0" => "99000", "k1" => "99001", "k10" => "99010", )"));
  CHECK(first.ends_with(R"(, "k142" => "99142", ...})"));
  CHECK(refused(R"({"x":)" + deep + "}") == std::string(kNoParams) + R"(%{"x" => [[[[[[[...]]]]]]]})");
  const std::string text = refused(R"({"x":")" + std::string(1'000'000, 'a') + "\"}");
  CHECK(text == std::string(kNoParams) + R"(%{"x" => ")" + std::string(4096 - 10, 'a') + "...");
}

TEST_CASE("a blank filter is none [PC-008]") {
  for (const char* blank : {"", " ", "\t\n ", "\u00a0\u3000"}) CHECK(parsed(with_filter(blank)).filters.empty());
}

TEST_CASE("a filter is understood as documented [PC-008] [PC-009] [P-188] [P-190]") {
  using enum Op;
  const std::pair<const char*, std::vector<Filter>> kCases[] = {
      {"id=eq.1", {{"id", kEq, "1"}}},
      {"id=gt.0,id=lt.100", {{"id", kGt, "0"}, {"id", kLt, "100"}}},
      {"name=not.like.A%", {{"name", kLike, "A%", true}}},
      {"id=in.(1,2,3)", {{"id", kIn, "{1,2,3}"}}},
      {R"(tag=in.("a,b",c))", {{"tag", kIn, R"({"a,b",c})"}}},
      {R"(name=eq."a,b",id=gt.0)", {{"name", kEq, "a,b"}, {"id", kGt, "0"}}},
      {R"(name=eq."she said \"hi\"")", {{"name", kEq, R"(she said "hi")"}}},
      {R"(name=eq."ab"cd)", {{"name", kEq, R"("ab"cd)"}}},
      {R"(desc=eq.5" tall,id=gt.0)", {{"desc", kEq, R"(5" tall)"}, {"id", kGt, "0"}}},
      {"a=eq.x),b=eq.y", {{"a", kEq, "x)"}, {"b", kEq, "y"}}},
      {"a=eq.x),b=eq.y)", {{"a", kEq, "x)"}, {"b", kEq, "y)"}}},
      {"t=eq.12:30=x.y", {{"t", kEq, "12:30=x.y"}}},
      {R"(path=eq."C:\\tmp")", {{"path", kEq, R"(C:\tmp)"}}},
      {R"(name=eq."unterminated)", {{"name", kEq, R"("unterminated)"}}},
      {R"(name=eq."unterminated\")", {{"name", kEq, R"("unterminated\")"}}},
      {R"(name=eq."unterminated,id=gt.0)", {{"name", kEq, R"("unterminated,id=gt.0)"}}},
      {R"(name=eq."back\)", {{"name", kEq, R"("back\)"}}},
      {R"(name=eq."\x\"")", {{"name", kEq, R"(x")"}}},
      {R"(name=eq."")", {{"name", kEq, ""}}},
      {R"(name=eq.")", {{"name", kEq, R"(")"}}},
      {"name=eq.", {{"name", kEq, ""}}},
      {" a=eq.1 ,\tb=neq. 2 \n", {{"a", kEq, "1"}, {"b", kNeq, " 2"}}},
      {"a =eq.1", {{"a ", kEq, "1"}}},
      {"=eq.1", {{"", kEq, "1"}}},
      {"a=eq.(1,2", {{"a", kEq, "(1,2"}}},
      {"a=eq.(x(y,),z),b=eq.1", {{"a", kEq, "(x(y,),z)"}, {"b", kEq, "1"}}},
      {R"(a=in.("(",","),b=eq.1)", {{"a", kIn, R"({"(",","})"}, {"b", kEq, "1"}}},
      {R"~(a=in.(x,"\",)"),b=eq.1)~", {{"a", kIn, R"~({x,"\",)"})~"}, {"b", kEq, "1"}}},
      {R"(a=in.(x"y,z"),b=eq.1)", {{"a", kIn, R"({x"y,z"})"}, {"b", kEq, "1"}}},
      {"a=in.()", {{"a", kIn, "{}"}}},
      {"a=not.in.(1)", {{"a", kIn, "{1}", true}}},
      {"a=is.null,b=not.is.true", {{"a", kIs, "null"}, {"b", kIs, "true", true}}},
      {"ü=eq.é", {{"ü", kEq, "é"}}},
      {R"("a"=eq.1,b=eq.2)", {{R"("a")", kEq, "1"}, {"b", kEq, "2"}}},
  };
  for (const auto& [filter, conditions] : kCases) {
    CAPTURE(filter);
    CHECK(parsed(with_filter(filter)).filters == conditions);
  }
}

TEST_CASE("each operator may be asked for, and the opposite of each [PC-008] [PC-010]") {
  for (int i = 0; i <= static_cast<int>(Op::kIsDistinct); ++i) {
    const Op op = static_cast<Op>(i);
    const std::string condition = std::string(name_of(op)) + ".(1)";
    const std::string value = op == Op::kIn ? "{1}" : "(1)";
    CHECK(parsed(with_filter("a=" + condition)).filters == std::vector{Filter{"a", op, value}});
    CHECK(parsed(with_filter("a=not." + condition)).filters == std::vector{Filter{"a", op, value, true}});
  }
}

TEST_CASE(
    "what is wrong with a filter is said in the words that clients know "
    "[PC-008] [PC-010] [P-184] [P-185] [P-186] [P-187]") {
  const std::pair<const char*, const char*> kCases[] = {
      {"wrong", R"(["wrong"])"},
      {"undefined", R"(["undefined"])"},
      {"id=eq", R"(["eq"])"},
      {"id=", R"([""])"},
      {"id=not.eq", R"(["eq"])"},
      {"id=not.", R"([""])"},
      {"id=not", R"(["not"])"},
      {"subject=foo.hey", R"(["foo", "hey"])"},
      {"subject=foo.hey.you", R"(["foo", "hey.you"])"},
      {"id=EQ.1", R"(["EQ", "1"])"},
      {"id= eq.1", R"([" eq", "1"])"},
      {"id=not.not.eq.1", R"(["not", "eq.1"])"},
      {"id=.1", R"(["", "1"])"},
      {R"(a"b#{c}\)", R"(["a\"b\#{c}\\"])"},
      {"id=gt.0,", "filter must not contain empty segments (check for extra commas)"},
      {",id=gt.0", "filter must not contain empty segments (check for extra commas)"},
      {"id=gt.0, ,id=lt.9", "filter must not contain empty segments (check for extra commas)"},
      {",", "filter must not contain empty segments (check for extra commas)"},
      {"id=in.1,2", "`in` filter value must be wrapped by parentheses"},
      {"id=in.(1,2", "`in` filter value must be wrapped by parentheses"},
      {"id=in.1)", "`in` filter value must be wrapped by parentheses"},
      {"id=in.(", "`in` filter value must be wrapped by parentheses"},
      {"id=in.", "`in` filter value must be wrapped by parentheses"},
      {R"~(id=in."(1)")~", "`in` filter value must be wrapped by parentheses"},
  };
  for (const auto& [filter, reason] : kCases) {
    CAPTURE(filter);
    CHECK(refused(with_filter(filter)) == std::string("Error parsing `filter` params: ") + reason);
  }
}

TEST_CASE("of several conditions the first that is not understood is told") {
  CHECK(refused(with_filter("a=eq.1,b,c")) == R"(Error parsing `filter` params: ["b"])");
  CHECK(refused(with_filter("b=in.1,c")) ==
        "Error parsing `filter` params: `in` filter value must be wrapped by parentheses");
}

TEST_CASE("a filter has so many conditions and bytes, and no more") {
  const auto conditions = [](int count) {
    std::string out = "a=eq.0";
    for (int i = 1; i < count; ++i) out += ",a=eq." + std::to_string(i);
    return with_filter(out);
  };
  CHECK(parsed(conditions(100)).filters.size() == 100);
  CHECK(refused(conditions(101)) == "Error parsing `filter` params: filter must not have more than 100 conditions");
  const auto long_filter = [](std::size_t bytes) { return with_filter("a=eq." + std::string(bytes - 5, 'x')); };
  CHECK(parsed(long_filter(65'536)).filters.size() == 1);
  CHECK(refused(long_filter(65'537)) == "Error parsing `filter` params: filter must not be longer than 65536 bytes");
  CHECK(refused(with_filter(std::string(65'536, 'x'))) ==
        "Error parsing `filter` params: [\"" + std::string(4094, 'x') + "...");
}

TEST_CASE("a NUL, which Postgres cannot store, is refused rather than cut off") {
  CHECK(refused(R"({"schema":"s","table":"t","filter":"a=eq.1\u00002"})") ==
        "Error parsing `filter` params: filter must not contain NUL characters");
  CHECK(refused(R"({"schema":"s","table":"t","select":["a\u0000b"]})") ==
        "Error parsing `select` params: column names must not contain NUL characters");
}

TEST_CASE("schema and table have so many bytes, and no more") {
  const std::string name(1024, 'x');
  CHECK(parsed(R"({"schema":")" + name + R"(","table":")" + name + "\"}").table == name);
  for (const char* member : {"schema", "table"})
    CHECK(refused("{\"" + std::string(member) + "\":\"" + name + "x\"}") ==
          "`schema` and `table` must not be longer than 1024 bytes");
}

TEST_CASE("a selection is a list of texts, and none where it has no text [PC-006] [PC-023]") {
  const auto columns = [](std::string_view select) {
    return parsed(R"({"schema":"s","table":"t","select":)" + std::string(select) + "}").columns;
  };
  using Columns = std::vector<std::string>;
  CHECK(columns(R"(["b","a"])") == Columns{"b", "a"});
  CHECK(columns(R"(["b",null,1,["a"],{"a":"a"},"c"])") == Columns{"b", "c"});
  CHECK(columns(R"(["", "a,b"])") == Columns{"", "a,b"});
  for (const char* none : {"[]", "[1,null]", "null", "7", "true", R"({"a":"b"})"}) CHECK(columns(none) == std::nullopt);
  CHECK(parsed(R"({"table":"t","select":["a"]})").columns == Columns{"a"});
}

TEST_CASE("a selection cannot be a text, nor of all tables [PC-006] [PC-023] [P-196]") {
  CHECK(refused(R"({"schema":"s","table":"t","select":"title"})") == kSelectText);
  for (const char* entry : {R"({"schema":"s","select":["title"]})", R"({"schema":"s","table":"*","select":["title"]})",
                            R"({"schema":"*","table":"t","select":["title"]})"})
    CHECK(refused(entry) == kWildcardSelect);
  CHECK(parsed(R"({"schema":"s","select":[]})").columns == std::nullopt);
  CHECK(parsed(R"({"schema":"s","select":[1]})").columns == std::nullopt);
  // Only the star by itself is one: a pattern is the name of a table.
  CHECK(parsed(R"({"schema":"s","table":"t%","select":["a"]})").columns);
}

TEST_CASE("a selection has so many names and bytes, and no more") {
  const auto select = [](int count, const std::string& name) {
    std::string out = R"({"schema":"s","table":"t","select":[)" + json::quoted(name);
    for (int i = 1; i < count; ++i) out += "," + json::quoted(name);
    return out + "]}";
  };
  CHECK(parsed(select(1600, "a")).columns->size() == 1600);
  CHECK(refused(select(1601, "a")) == "Error parsing `select` params: there must not be more than 1600 column names");
  CHECK(refused(select(2, std::string(65'537, 'a'))) ==
        "Error parsing `select` params: column names must not be longer than 131072 bytes together");
}

TEST_CASE("of several faults the selection's type comes first, then names and filter, then the wildcard") {
  CHECK(refused(R"({"select":"a"})") == kSelectText);
  CHECK(refused(R"({"table":null,"select":["a"]})").starts_with(kNoParams));
  CHECK(refused(R"({"schema":"*","table":"*","filter":"x","select":["a"]})") ==
        R"(Error parsing `filter` params: ["x"])");
}

TEST_CASE("a request is described as clients are told of it") {
  CHECK(describe(parsed(R"({"table":"todos"})")) == "event: *, schema: public, table: todos, filters: [], select: nil");
  CHECK(describe(parsed(R"({"schema":"s"})")) == "event: *, schema: s, table: *, filters: [], select: nil");
  CHECK(describe(parsed(R"({"schema":"public","table":"test","filter":"subject=eq.hey"})")) ==
        R"(event: *, schema: public, table: test, filters: [{"subject", "eq", "hey", false}], select: nil)");
  CHECK(
      describe(parsed(
          R"({"event":"insert","schema":"public","table":"todos","filter":"owner=eq.7","select":["id","title"]})")) ==
      R"(event: INSERT, schema: public, table: todos, filters: [{"owner", "eq", "7", false}], select: ["id", "title"])");
  CHECK(
      describe(parsed(with_filter(R"(a=not.in.("x,y",z),b=eq."q\"")"))) ==
      R"(event: *, schema: public, table: todos, filters: [{"a", "in", "{\"x,y\",z}", true}, {"b", "eq", "q\"", false}], select: nil)");
}

TEST_CASE("texts are shown with the runtime's escapes") {
  const auto shown = [](std::string text) {
    const std::string all = describe({.table = "t", .columns = std::vector{std::move(text)}});
    return all.substr(all.find("select: ") + 8);
  };
  CHECK(shown("\"\\\n\t\r\x1b\a\b\f\v\x7f") == R"(["\"\\\n\t\r\e\a\b\f\v\d"])");
  CHECK(shown(std::string("\0\x01\x1f", 3)) == R"(["\0\x01\x1F"])");
  CHECK(shown("#{a} # {b} #") == R"(["\#{a} # {b} #"])");
  CHECK(shown("é € 😀 \u00a0\ufffd") == "[\"é € 😀 \u00a0\ufffd\"]");
  CHECK(shown("\u0080\u009f\ufffe\uffff") == R"(["\x80\x9F\x{FFFE}\x{FFFF}"])");
}

TEST_CASE("a table is named by itself and by patterns with _ and %, without an escape [PC-020]") {
  const std::pair<const char*, const char*> kNamed[] = {
      {"todos", "todos"},
      {"a_b", "a_b"},
      {"a_b", "axb"},
      {"a_b", "a%b"},
      {"*", "anything"},
      {"*", ""},
      {"%", ""},
      {"%", "anything"},
      {"t%", "t"},
      {"t%", "todos"},
      {"%s", "todos"},
      {"t%o_", "todos"},
      {"%o%o%", "todos"},
      {"_____", "todos"},
      {"%_%", "x"},
      {"a_b", "aéb"},
      {"_", "é"},
      {"_", "😀"},
      {"__", "é😀"},
      {"%é", "aéé"},
      {"a\\_b", "a\\xb"},
      {"a\\%", "a\\z"},
      {"a b,c.d\t\"\\😀", "a b,c.d\t\"\\😀"},
      {"", ""},
      {"%%", ""},
      {"%ab%ab_", "aabaabab😀"},
  };
  for (const auto& [pattern, name] : kNamed) {
    CAPTURE(pattern);
    CAPTURE(name);
    CHECK(is_named_by(pattern, name));
  }
  const std::pair<const char*, const char*> kOthers[] = {
      {"todos", "Todos"}, {"todos", "todo"}, {"todo", "todos"}, {"a_b", "ab"},     {"a_b", "axxb"}, {"_", ""},
      {"__", "é"},        {"_", "ab"},       {"a\\_b", "a_b"},  {"a\\%", "a%"},    {"t*", "todos"}, {"", "a"},
      {"%a", "ab"},       {"%é", "e"},       {"a%a", "a"},      {"%ab%ab", "aab"}, {"**", "todos"},
  };
  for (const auto& [pattern, name] : kOthers) {
    CAPTURE(pattern);
    CAPTURE(name);
    CHECK(!is_named_by(pattern, name));
  }
}

TEST_CASE("no pattern takes long") {
  std::string pattern;
  for (int i = 0; i < 10'000; ++i) pattern += "%a_";
  const std::string name(40'000, 'a');
  CHECK(is_named_by(pattern, name));
  CHECK(!is_named_by(pattern + "b", name));
}

}  // namespace
}  // namespace rt::changes
