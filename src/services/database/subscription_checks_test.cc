#include "services/database/subscription_checks.h"

#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>

#include "services/database/asking_as.h"
#include "testing/tenant_schema.h"

namespace rt::database {
namespace {

using changes::Condition;
using changes::Filter;
using testing::PostgresCluster;
using testing::PostgresLoop;
using enum changes::Op;
using Columns = std::vector<std::string>;

std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

struct Accepted {
  std::vector<Condition> conditions{};
  std::optional<Columns> columns{};
  bool operator==(const Accepted&) const = default;
};

struct Asked {
  std::vector<Filter> filters{};
  std::optional<Columns> columns{};
  std::string role = "authenticated";
};

// A table with a column of each type that matters, of which `secret` may not be read.
struct Database {
  Database() {
    testing::make_tenant_schema(loop);
    sql(R"(DROP SCHEMA IF EXISTS checked CASCADE; CREATE SCHEMA checked;
        CREATE TYPE checked.mood AS ENUM ('sad', 'ok');
        CREATE DOMAIN checked.positive AS integer CHECK (value > 0);
        CREATE TABLE checked.rows (id integer PRIMARY KEY, b bigint, n numeric(5, 2), f float8, t text, v varchar(9), c char(4),
          name name, bit bit(3), at timestamptz, naive timestamp, day date, u uuid, yes boolean, bytes bytea, j jsonb, js json,
          m checked.mood, p checked.positive, many integer[], secret text, gone text, "a ""b"" \c, 'd' é" text);
        ALTER TABLE checked.rows DROP COLUMN gone;
        GRANT SELECT (id, b, n, f, t, v, c, name, bit, at, naive, day, u, yes, bytes, j, js, m, p, many, "a ""b"" \c, 'd' é")
          ON checked.rows TO authenticated)");
    table = static_cast<changes::Oid>(std::stoul(sql("SELECT 'checked.rows'::regclass::oid")));
    connection = loop.open();
  }
  ~Database() {
    CHECK(sql("SELECT count(*) FROM realtime.subscription") == "0");
    sql("DROP SCHEMA checked CASCADE");
  }

  using Reply = postgres::Result<Accepted>;
  // In one transaction.
  std::vector<Reply> ask_all(const std::vector<Asked>& all) {
    postgres::Batch batch{.ends = postgres::Ends::kRolledBack};
    batch.statements.push_back(save());
    for (const Asked& asked : all) {
      batch.statements.push_back(go_back());
      batch.statements.push_back(check_subscription(table, asked.role, asked.filters, asked.columns));
    }
    const auto replies = loop.run(connection->run_sections(std::move(batch)));
    REQUIRE_MESSAGE(replies, replies.error().message);
    std::vector<Reply> out;
    for (std::size_t i = 2; i < replies->size(); i += 2) {
      const auto& rows = (*replies)[i];
      if (rows) {
        out.emplace_back(Accepted{read_conditions(*rows), read_columns(*rows)});
      } else {
        out.emplace_back(tl::make_unexpected(rows.error()));
      }
    }
    return out;
  }
  Accepted accepted(const Asked& asked) {
    const Reply reply = ask_all({asked})[0];
    REQUIRE_MESSAGE(reply, reply.error().message);
    return *reply;
  }
  std::string canonical(Filter filter) {
    CAPTURE(filter.column);
    CAPTURE(filter.value);
    const Accepted got = accepted({.filters = {filter}});
    REQUIRE(got.conditions.size() == 1);
    CHECK(got.conditions[0].filter == filter);
    return got.conditions[0].canonical;
  }
  // `P0001 invalid column for filter x`
  std::string refused(const Asked& asked) {
    const Reply reply = ask_all({asked})[0];
    REQUIRE(!reply);
    CHECK(reply.error().kind == postgres::ErrorClass::kServer);
    return reply.error().sqlstate + " " + reply.error().message;
  }
  std::string refused(const Filter& filter) { return refused(Asked{.filters = {filter}}); }

  PostgresLoop loop;
  changes::Oid table = 0;
  std::unique_ptr<postgres::Connection> connection;
};

std::string numbers(int count) {
  std::string out = "{0";
  for (int i = 1; i < count; ++i) out += "," + std::to_string(i);
  return out + "}";
}

TEST_CASE("values come back as the type of their column writes them") {
  const PostgresCluster::Setting zone(PostgresCluster::shared(), "timezone", "Asia/Kolkata");
  Database database;
  CHECK(database.canonical({"id", kEq, " 007 "}) == "7");
  CHECK(database.canonical({"b", kGt, "-9223372036854775808"}) == "-9223372036854775808");
  // The type without its precision: the filter means this number, not the one that a column could hold.
  CHECK(database.canonical({"n", kLte, "01234.5670"}) == "1234.5670");
  CHECK(database.canonical({"n", kNeq, "1e3"}) == "1000");
  CHECK(database.canonical({"n", kEq, "nan"}) == "NaN");
  CHECK(database.canonical({"f", kLt, "1e-7"}) == "1e-07");
  CHECK(database.canonical({"f", kLt, "-0"}) == "-0");
  CHECK(database.canonical({"t", kEq, " as it is "}) == " as it is ");
  CHECK(database.canonical({"v", kEq, "longer than nine"}) == "longer than nine");
  CHECK(database.canonical({"c", kEq, "abcdef"}) == "abcdef");
  CHECK(database.canonical({"bit", kEq, "10101"}) == "10101");
  CHECK(database.canonical({"at", kGte, "2024-02-29T12:00:00.5Z"}) == "2024-02-29 17:30:00.5+05:30");
  CHECK(database.canonical({"at", kLt, "2024-02-29 12:00"}) == "2024-02-29 12:00:00+05:30");
  CHECK(database.canonical({"naive", kLt, "2024-02-29T12:00:00Z"}) == "2024-02-29 12:00:00");
  CHECK(database.canonical({"day", kEq, "29 Feb 2024"}) == "2024-02-29");
  CHECK(database.canonical({"u", kEq, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"}) ==
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  CHECK(database.canonical({"yes", kEq, "on"}) == "true");
  CHECK(database.canonical({"yes", kIsDistinct, "F"}) == "false");
  CHECK(database.canonical({"bytes", kEq, "\\xDEad"}) == "\\xdead");
  CHECK(database.canonical({"bytes", kEq, "ab"}) == "\\x6162");
  CHECK(database.canonical({"j", kEq, R"({"b":1,"a":[ ]})"}) == R"({"a": [], "b": 1})");
  CHECK(database.canonical({"js", kEq, R"({"b":1, "a":[ ]})"}) == R"({"b":1, "a":[ ]})");
  CHECK(database.canonical({"m", kEq, "ok"}) == "ok");
  CHECK(database.canonical({"p", kEq, "05"}) == "5");
  CHECK(database.canonical({"many", kEq, "{ 1, 2 }"}) == "{1,2}");
}

TEST_CASE("lists come back as arrays of the column's type [PC-014]") {
  Database database;
  CHECK(database.canonical({"id", kIn, "{ 2 ,01, NULL}"}) == "{2,1,NULL}");
  CHECK(database.canonical({"id", kIn, "{}", true}) == "{}");
  CHECK(database.canonical({"t", kIn, R"({"a,b",c,"NULL","q\"\\"})"}) == R"({"a,b",c,"NULL","q\"\\"})");
  CHECK(database.canonical({"n", kIn, "{1.50,1e2}"}) == "{1.50,100}");
  CHECK(database.canonical({"yes", kIn, "{yes,off}"}) == "{t,f}");
  CHECK(database.canonical({"m", kIn, "{ok,sad}"}) == "{ok,sad}");
  CHECK(database.canonical({"u", kIn, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"}) ==
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}");
  CHECK(database.canonical({"bytes", kIn, R"({"\\xDE"})"}) == R"({"\\xde"})");
  CHECK(database.canonical({"id", kIn, numbers(100)}) == numbers(100));
}

TEST_CASE("patterns, and what `is` asks for, come back as they were [PC-015] [PC-016] [PC-017]") {
  Database database;
  for (const Filter& filter : std::vector<Filter>{{"t", kLike, "a%_\\"},
                                                  {"c", kLike, "a%"},
                                                  {"name", kIlike, "A%", true},
                                                  {"bytes", kLike, "a%"},
                                                  {"t", kMatch, "^(a|b)$"},
                                                  {"t", kImatch, "", true},
                                                  {"yes", kIs, "true"},
                                                  {"yes", kIs, "unknown", true},
                                                  {"v", kIs, "null"},
                                                  {"many", kIs, "null"}})
    CHECK(database.canonical(filter) == filter.value);
}

TEST_CASE("conditions come back in order, each with its own value, and so do columns [D-027]") {
  Database database;
  const Condition a{{"id", kGt, "01"}, "1"};
  const Condition b{{"n", kEq, "1.0"}, "1.0"};
  const Condition c{{"n", kLt, "1e1"}, "10"};
  const Condition d{{"n", kLt, "1e1", true}, "10"};
  const Condition e{{"t", kEq, "x"}, "x"};
  const Accepted expected{.conditions = {a, b, c, d, e, e}, .columns = Columns{"id", "n", "t"}};
  CHECK(database.accepted({.filters = {e.filter, d.filter, b.filter, e.filter, c.filter, a.filter},
                           .columns = Columns{"t", "id", "n"}}) == expected);
  CHECK(database.accepted({.filters = {a.filter, b.filter, c.filter, d.filter, e.filter, e.filter},
                           .columns = Columns{"n", "t", "id"}}) == expected);
}

TEST_CASE("who asks for everything is accepted with nothing") {
  Database database;
  CHECK(database.accepted({}) == Accepted{});
  CHECK(database.accepted({.columns = Columns{"t"}}) == Accepted{.columns = Columns{"t"}});
}

TEST_CASE("texts arrive as they are, whatever is in them") {
  Database database;
  const std::string column = R"(a "b" \c, 'd' é)";
  for (const std::string text : {"", "NULL", "{}", "{a,b}", R"("quoted")", R"(back\slash\)", "(1,2)", "tab\tline\n",
                                 "'; --", "$1 %L", "é😀", " "}) {
    CHECK(database.canonical({column, kEq, text}) == text);
    // Errors are told in one line.
    CHECK(database.refused({text, kEq, "x"}) == postgres::one_line("P0001 invalid column for filter " + text));
  }
  CHECK(database.accepted({.columns = Columns{column}}).columns == Columns{column});
}

TEST_CASE(
    "each fault is told in its words, with the code of Postgres "
    "[D-026] [PC-012] [PC-013] [PC-014] [PC-015] [PC-016] [PC-017] [PC-018]") {
  Database database;
  const std::pair<Filter, const char*> kCases[] = {
      {{"secret", kEq, "x"}, "P0001 invalid column for filter secret"},
      {{"nothing", kEq, "x"}, "P0001 invalid column for filter nothing"},
      {{"gone", kEq, "x"}, "P0001 invalid column for filter gone"},
      {{"ctid", kEq, "(0,1)"}, "P0001 invalid column for filter ctid"},
      {{"ID", kEq, "1"}, "P0001 invalid column for filter ID"},
      {{"id", kIn, "{x}"}, "22P02 invalid input syntax for type integer: \"x\""},
      {{"t", kIn, "{a}b}"}, "22P02 malformed array literal: \"{a}b}\""},
      {{"id", kIn, numbers(101)}, "P0001 too many values for `in` filter. Maximum 100"},
      {{"yes", kIs, "NULL"}, "P0001 invalid value for is filter: must be null, true, false, or unknown"},
      {{"yes", kIs, ""}, "P0001 invalid value for is filter: must be null, true, false, or unknown"},
      {{"t", kIs, "true"}, "P0001 is true filter requires a boolean column, got text"},
      {{"id", kIs, "unknown"}, "P0001 is unknown filter requires a boolean column, got integer"},
      {{"v", kLike, "x"}, "P0001 operator like requires a text-compatible column type, got character varying"},
      {{"id", kIlike, "x"}, "P0001 operator ilike requires a text-compatible column type, got integer"},
      {{"v", kMatch, "x"}, "P0001 operator match requires a text-compatible column type, got character varying"},
      {{"c", kMatch, "x"}, "P0001 operator match requires a text-compatible column type, got character"},
      {{"name", kImatch, "x"}, "P0001 operator imatch requires a text-compatible column type, got name"},
      {{"t", kMatch, "("},
       "P0001 invalid regular expression for match filter: invalid regular expression: parentheses () not balanced"},
      {{"t", kImatch, "*"},
       "P0001 invalid regular expression for imatch filter: invalid regular expression: quantifier operand invalid"},
      {{"id", kEq, "hey"}, "22P02 invalid input syntax for type integer: \"hey\""},
      {{"id", kEq, "9999999999"}, "22003 value \"9999999999\" is out of range for type integer"},
      {{"n", kGt, ""}, "22P02 invalid input syntax for type numeric: \"\""},
      {{"at", kLt, "soon"}, "22007 invalid input syntax for type timestamp with time zone: \"soon\""},
      {{"at", kLt, "2024-02-30"}, "22008 date/time field value out of range: \"2024-02-30\""},
      {{"u", kNeq, "1"}, "22P02 invalid input syntax for type uuid: \"1\""},
      {{"yes", kLte, "maybe"}, "22P02 invalid input syntax for type boolean: \"maybe\""},
      {{"bytes", kEq, "\\xz"}, "22023 invalid hexadecimal digit: \"z\""},
      {{"j", kEq, "{"}, "22P02 invalid input syntax for type json"},
      {{"m", kIsDistinct, "bad"}, "22P02 invalid input value for enum checked.mood: \"bad\""},
      {{"p", kEq, "0"}, "23514 value for domain checked.positive violates check constraint \"positive_check\""},
  };
  for (const auto& [filter, error] : kCases) {
    CAPTURE(filter.column);
    CAPTURE(filter.value);
    CHECK(database.refused(filter) == error);
  }
  CHECK(database.refused(Asked{.columns = Columns{"id", "secret"}}) == "P0001 invalid column for select secret");
  CHECK(database.refused(Asked{.columns = Columns{"nothing"}}) == "P0001 invalid column for select nothing");
  // The first filter that is wrong, then the first column.
  CHECK(database.refused(Asked{.filters = {{"t", kEq, "x"}, {"id", kEq, "y"}, {"nothing", kEq, ""}},
                               .columns = Columns{"secret"}}) == "22P02 invalid input syntax for type integer: \"y\"");
}

TEST_CASE("the fault of one subscription is nothing to the others of its batch [PC-019]") {
  Database database;
  const auto replies = database.ask_all({{.filters = {{"id", kEq, "1"}}},
                                         {.filters = {{"id", kEq, "x"}}},
                                         {.role = "nobody"},
                                         {.filters = {{"id", kEq, "2"}}, .role = "service_role"},
                                         {.filters = {{"id", kEq, "02"}}}});
  REQUIRE(replies.size() == 5);
  CHECK(replies[0]);
  CHECK(replies[1].error().sqlstate == "22P02");
  CHECK(replies[2].error().sqlstate == "42704");
  CHECK(replies[3].error().message == "invalid column for filter id");
  CHECK(replies[4]->conditions[0].canonical == "2");
}

TEST_CASE("a role is the one that is meant, in its own letter case, and one that is not there is refused [D-028]") {
  Database database;
  sql("DO $$ BEGIN IF to_regrole('\"Mixed Case-1\"') IS NULL THEN CREATE ROLE \"Mixed Case-1\"; END IF; END $$; "
      "GRANT SELECT (id) ON checked.rows TO \"Mixed Case-1\"; GRANT SELECT ON checked.rows TO PUBLIC");
  const auto by = [](std::string role) { return Asked{.filters = {{"id", kEq, "1"}}, .role = std::move(role)}; };
  CHECK(database.accepted(by("Mixed Case-1")).conditions.size() == 1);
  for (const std::string role :
       {"mixed case-1", "Authenticated", "none", "public", "nobody", "-", "1", "", "\"anon\"", "a.b"})
    CHECK(database.refused(by(role)) == "42704 role \"" + role + "\" does not exist");
  CHECK(database.refused(by(std::string("authenticated\0x", 15))) == "42704 role \"\" does not exist");
  sql("CREATE TABLE checked.empty ()");
  database.table = static_cast<changes::Oid>(std::stoul(sql("SELECT 'checked.empty'::regclass::oid")));
  CHECK(database.refused(Asked{.role = "nobody"}) == "42704 role \"nobody\" does not exist");
  sql("DROP OWNED BY \"Mixed Case-1\"; DROP ROLE \"Mixed Case-1\"");
}

TEST_CASE("a table that is gone has no columns") {
  Database database;
  database.table = 4'294'967'294;
  CHECK(database.refused({"id", kEq, "1"}) == "P0001 invalid column for filter id");
}

TEST_CASE("what somebody else has put into the search path is not called") {
  Database database;
  const std::string trapped = " LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$; ";
  std::string trap = "CREATE SCHEMA trap; CREATE FUNCTION trap.unnest(anyarray) RETURNS SETOF anyelement" + trapped +
                     "CREATE FUNCTION trap.quote_ident(text) RETURNS text" + trapped;
  for (const std::string types : {"oid, oid", "text, text", "name, name", "integer, integer", "smallint, integer"}) {
    trap += "CREATE FUNCTION trap.compare(" + types + ") RETURNS boolean" + trapped;
    const std::string left = types.substr(0, types.find(','));
    const std::string right = types.substr(types.find(' ') + 1);
    for (const std::string op : {"=", "<>", "<", ">"})
      trap += "CREATE OPERATOR trap." + op + " (LEFTARG = " + left + ", RIGHTARG = " + right +
              ", FUNCTION = trap.compare); ";
  }
  // Last, as they would be what is meant above.
  for (const std::string type : {"text", "bool", "oid", "name", "regclass", "regtype"})
    trap += "CREATE DOMAIN trap." + type + " AS uuid; ";
  sql(trap + "ALTER DATABASE postgres SET search_path = trap, pg_catalog");
  database.connection = database.loop.open();
  const Asked all{
      .filters = {{"id", kEq, "01"}, {"id", kIn, "{01}"}, {"t", kLike, "a"}, {"t", kMatch, "a"}, {"yes", kIs, "true"}},
      .columns = Columns{"t", "id"}};
  const auto replies = database.ask_all({all, {.filters = {{"t", kIs, "true"}}}});
  sql("ALTER DATABASE postgres RESET search_path; DROP SCHEMA trap CASCADE");
  REQUIRE_MESSAGE(replies[0], replies[0].error().message);
  Accepted expected{.columns = Columns{"id", "t"}};
  for (const Filter& filter : all.filters)
    expected.conditions.push_back({filter, filter.op == kEq ? "1" : filter.op == kIn ? "{1}" : filter.value});
  CHECK(*replies[0] == expected);
  CHECK(replies[1].error().message.starts_with("is true filter requires a boolean column"));
}

TEST_CASE("a filter that nobody asked for, from a function in the place of ours, matches nothing") {
  postgres::Rows rows;
  for (const char* name : {"column_name", "op", "value", "negate", "canonical"}) rows.add_column(name);
  for (const char* field : {"id", "between", "1", "f", "1"}) rows.add_field(field);
  CHECK(read_conditions(rows) == std::vector{Condition{}});
  CHECK(read_columns(rows) == std::nullopt);
}

}  // namespace
}  // namespace rt::database
