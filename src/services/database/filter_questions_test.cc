#include "services/database/filter_questions.h"

#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>

#include "testing/filter_database.h"

namespace rt::database {
namespace {

using changes::Oid;
using changes::Op;
using changes::Questions;
using testing::FilterDatabase;
using Answer = std::optional<bool>;

constexpr Oid kText = 25, kJson = 114, kXml = 142, kPoint = 600, kTimestamptz = 1184, kInterval = 1186, kJsonb = 3802;

Questions::Index ask(Questions& questions, Oid type, Op op, std::string_view value, std::string_view operand) {
  return questions.ask({.type = type, .op = op, .value = questions.keep(value), .operand = questions.keep(operand)});
}

// More than one statement and more than one transaction have room for.
TEST_CASE("however many questions there are, each gets its own answer [PC-086]") {
  FilterDatabase database("questions_many");
  Questions questions;
  const auto number = [](int n) { return "number " + std::to_string(n); };
  for (int value = 0; value < 40; ++value) {
    for (int operand = 0; operand < 300; ++operand)
      ask(questions, kText, Op::kMatch, number(value), "^" + number(operand) + "$");
  }
  const std::string large(3'000'000, 'x');
  for (const char* pattern : {"^x", "^y"}) ask(questions, kText, Op::kImatch, large, pattern);
  REQUIRE(database.answer(questions));
  std::size_t wrong = 0;
  for (int value = 0; value < 40; ++value) {
    for (int operand = 0; operand < 300; ++operand)
      wrong += questions.answer_to(static_cast<Questions::Index>(300 * value + operand)) == (value == operand) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(questions.answer_to(12'000) == true);
  CHECK(questions.answer_to(12'001) == false);
}

TEST_CASE("what is an error for one filter is nothing to the others [PC-087]") {
  FilterDatabase database("questions_errors");
  Questions questions;
  const auto sound = ask(questions, kText, Op::kMatch, "abc", "^a");
  const auto broken = ask(questions, kText, Op::kMatch, "abc", "(");
  const auto other = ask(questions, kText, Op::kMatch, "abc", "^b");
  const auto interval = ask(questions, kInterval, Op::kEq, "1 day", "24:00:00");
  const auto no_interval = ask(questions, kInterval, Op::kEq, "1 day", "a while");
  const auto json = ask(questions, kJson, Op::kEq, "{}", "{}");
  const auto xml = ask(questions, kXml, Op::kEq, "<a/>", "<a/>");
  const auto point = ask(questions, kPoint, Op::kEq, "(1,2)", "(1,2)");
  const auto unknown = ask(questions, 4'000'000, Op::kEq, "1", "1");
  const auto pair = ask(questions, database.type("pair"), Op::kEq, "(1,)", "(1,)");
  const auto no_bytes = ask(questions, kText, Op::kImatch, "\xff", "a");
  const auto bytes = ask(questions, kText, Op::kImatch, "ü", "a|ü");
  REQUIRE(database.answer(questions));
  CHECK(questions.answer_to(sound) == true);
  CHECK(questions.answer_to(other) == false);
  CHECK(questions.answer_to(interval) == true);
  CHECK(questions.answer_to(pair) == true);
  CHECK(questions.answer_to(bytes) == true);
  for (const auto index : {broken, no_interval, json, xml, point, unknown, no_bytes})
    CHECK(questions.answer_to(index) == Answer());
}

TEST_CASE("an expression that takes forever keeps nobody from an answer") {
  FilterDatabase database("questions_slow");
  Questions questions;
  const std::string value(400, 'a');
  const auto quick = ask(questions, kText, Op::kMatch, value, "^a+$");
  const auto slow = ask(questions, kText, Op::kMatch, value, R"(^(.*)(.*)(.*)(.*)(.*)\1\2\3\4\5$b?c*)");
  const auto last = ask(questions, kText, Op::kMatch, value, "b");
  const auto other = ask(questions, kJsonb, Op::kEq, "1", "1.0");
  REQUIRE(database.answer(questions, std::chrono::milliseconds(300)));
  CHECK(questions.answer_to(quick) == true);
  CHECK(questions.answer_to(slow) == Answer());
  CHECK(questions.answer_to(last) == false);
  CHECK(questions.answer_to(other) == true);
}

TEST_CASE("`now` is when it is asked [PC-089]") {
  FilterDatabase database("questions_now");
  const auto is_past = [&](const std::string& value) {
    Questions questions;
    const auto index = ask(questions, kTimestamptz, Op::kLt, value, "now");
    REQUIRE(database.answer(questions));
    return questions.answer_to(index);
  };
  const std::string soon = database.field("SELECT clock_timestamp() + interval '300 ms'");
  CHECK(is_past(database.field("SELECT clock_timestamp()")) == true);
  database.loop.until([&] { return is_past(soon) == true; });
  CHECK(is_past("infinity") == false);
}

// Everything that a user can make and that could be taken for ours: casts, operators, functions that are searched
// first. They would run with the rights of the server.
TEST_CASE("nothing that users have made runs when their values are compared") {
  FilterDatabase database("questions_hostile");
  const auto function = [&](const std::string& name, const std::string& arguments, const std::string& result,
                            const std::string& value) {
    database.query("CREATE FUNCTION " + name + "(" + arguments + ") RETURNS " + result +
                   " LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''" + name +
                   " ran'' USING ERRCODE = ''22000''; RETURN " + value + "; END'");
  };
  database.query("CREATE SCHEMA hostile");
  function("public.to_mood", "text", "\"the mood\"", "NULL");
  database.query("CREATE CAST (text AS \"the mood\") WITH FUNCTION to_mood(text) AS IMPLICIT");
  function("public.to_pair", "text", "pair", "NULL");
  database.query("CREATE CAST (text AS pair) WITH FUNCTION to_pair(text) AS IMPLICIT");
  for (const std::string type : {"text", "citext", "hstore", "pair", "\"the mood\"", "interval", "jsonb"}) {
    const std::string name = "hostile.compare_" + std::to_string(type.size()) + type.substr(type[0] == '"' ? 5 : 0, 3);
    function(name, type + "," + type, "bool", "true");
    for (const char* op : {"=", "<", "~", "~~", "~~*", "<@"}) {
      for (const char* schema : {"hostile", "public"}) {
        if (std::string_view(schema) == "public" && type == "citext") continue;  // it has them there
        if (std::string_view(schema) == "public" && type == "hstore" && op != std::string_view("<")) continue;
        database.query(std::string("CREATE OPERATOR ") + schema + "." + op + " (LEFTARG = " + type +
                       ", RIGHTARG = " + type + ", FUNCTION = " + name + ")");
      }
    }
  }
  function("hostile.unnest", "int4[], int4[]", "int4", "1");
  function("hostile.unnest", "int4[]", "int4", "1");
  database.query("CREATE DOMAIN hostile.text AS int4");
  database.query("ALTER DATABASE questions_hostile SET search_path = hostile, public, pg_catalog");
  database.reconnect();

  Questions questions;
  std::vector<std::pair<Questions::Index, Answer>> expected;
  const auto expect = [&](const std::string& type, Op op, std::string_view value, std::string_view operand,
                          Answer answer) {
    expected.emplace_back(ask(questions, database.type(type), op, value, operand), answer);
  };
  for (const std::string_view other : {"a", "b"}) {
    const bool same = other == "a";
    expect("pg_catalog.text", Op::kLt, "a", other, !same);
    expect("pg_catalog.text", Op::kMatch, "a", other, same);
    expect("pg_catalog.text", Op::kLike, "a", other, same);
    expect("pg_catalog.text", Op::kIlike, "A", other, same);
    expect("public.citext", Op::kEq, "A", other, same);
    expect("public.citext", Op::kLike, "A", other, same);
    expect("public.citext", Op::kMatch, "A", other, same);
    expect("public.citext", Op::kIn, "A", same ? "{a,c}" : "{b,c}", same);
    expect("public.hstore", Op::kEq, "a=>1", same ? "a=>1" : "b=>1", same);
    expect("public.pair", Op::kEq, "(1,a)", same ? "(1,a)" : "(1,b)", same);
    expect("public.\"the mood\"", Op::kLt, "sad", same ? "sad" : "ok", !same);
    expect("pg_catalog.interval", Op::kEq, "1 day", same ? "24:00" : "12:00", same);
    expect("pg_catalog.jsonb", Op::kIn, "1", same ? "{1.0}" : "{2}", same);
    expect("pg_catalog.int4[]", Op::kEq, "{1,2}", same ? "{1,2}" : "{1,3}", same);
  }
  REQUIRE(database.answer(questions));
  for (const auto& [index, answer] : expected) {
    CAPTURE(questions.text(questions.all()[index].operand));
    CAPTURE(name_of(questions.all()[index].op));
    CHECK(questions.answer_to(index) == answer);
  }
}

TEST_CASE("without a connection there are no answers, and who asked is told") {
  FilterDatabase database("questions_stopped");
  Questions questions;
  const auto index = ask(questions, kText, Op::kMatch, "a", "a");
  database.stop();
  CHECK_FALSE(database.answer(questions).has_value());
  CHECK(questions.answer_to(index) == Answer());
}

TEST_CASE("where nothing is asked, nothing is sent") {
  FilterDatabase database("questions_none");
  Questions questions;
  database.stop();
  CHECK(database.answer(questions).has_value());
}

}  // namespace
}  // namespace rt::database
