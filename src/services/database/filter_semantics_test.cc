// Filters decide what Postgres' own operators decide, whoever decides them: C++ or Postgres when it is asked.
#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <random>

#include "domain/changes/matching.h"
#include "testing/filter_database.h"

namespace rt::database {
namespace {

using changes::Action;
using changes::Change;
using changes::Condition;
using changes::Op;
using testing::FilterDatabase;

// `t`, `f` or nullopt, as SQL has it.
using Logic = std::optional<bool>;
using Texts = std::vector<std::string>;

// What Postgres says of all pairs of values and operands, and how it writes both.
struct Facts {
  changes::Oid type = 0;
  Texts values;                // as rows have them
  Texts operands;              // as clients write them
  Texts canonicals;            // of the operands
  std::vector<Logic> answers;  // by value, then by operand
};

constexpr std::string_view kComparisons = "eq neq lt lte gt gte isdistinct";

std::string array_of(const Texts& texts, char delimiter) {
  std::string out = "{";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += delimiter;
    out += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "}";
}

const char* sql_of(Op op) {
  constexpr const char* kSql[] = {
      "=", "<>", "<", "<=", ">", ">=", "= ANY", "LIKE", "ILIKE", "", "~", "~*", "IS DISTINCT FROM"};
  return kSql[static_cast<std::size_t>(op)];
}

Op op_of(std::string_view name) {
  int op = 0;
  while (name_of(static_cast<Op>(op)) != name) ++op;
  return static_cast<Op>(op);
}

// `type`: of the column; `bare`: without what it has in parentheses, or what the domain is made of.
Facts facts(FilterDatabase& database, const std::string& type, const std::string& bare, const Texts& values,
            const Texts& operands, Op op) {
  const bool is_pattern = op == Op::kLike || op == Op::kIlike || op == Op::kMatch || op == Op::kImatch;
  const std::string operand_type = is_pattern ? "text" : op == Op::kIn ? bare + "[]" : bare;
  Facts out;
  out.type = database.type(type);
  out.operands = operands;
  // Literals, as validation has them: a parameter of unknown type is read in the same way.
  for (const std::string& value : values) out.values.push_back(database.field("SELECT $1::" + type, {value}));
  for (const std::string& operand : operands)
    out.canonicals.push_back(is_pattern ? operand
                                        : database.field("SELECT ($1::" + operand_type + ")::text", {operand}));
  std::string rows;
  std::vector<std::optional<std::string>> parameters;
  for (const std::string& value : values) parameters.emplace_back(value);
  for (const std::string& operand : operands) parameters.emplace_back(operand);
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t j = 0; j < operands.size(); ++j) {
      const std::string value = "$" + std::to_string(i + 1) + "::" + type + "::" + bare;
      const std::string operand = "$" + std::to_string(values.size() + j + 1) + "::" + operand_type;
      rows.append(rows.empty() ? "(" : ", (").append(value).append(" ").append(sql_of(op));
      rows.append(op == Op::kIn ? " (" + operand + ")" : " " + operand).append(")");
    }
  }
  const postgres::Rows answers = database.query("VALUES " + rows, std::move(parameters));
  for (std::size_t row = 0; row < answers.size(); ++row) {
    const auto said = answers.text(row, 0);
    out.answers.push_back(said ? Logic(*said == "t") : std::nullopt);
  }
  return out;
}

// Plain and negated, by one subscription for each operand.
void check(FilterDatabase& database, const Facts& facts, Op op, std::string_view type) {
  auto table = std::make_shared<changes::Table>();
  table->columns.push_back({.name = "c", .type = facts.type});
  changes::SubscriptionIndex index(table, database.types, database.rules, HashKey{3, 4});
  const auto handle_of = [](std::size_t operand, bool negated) {
    return static_cast<changes::Handle>(2 * operand + (negated ? 1 : 0));
  };
  for (std::size_t i = 0; i < facts.operands.size(); ++i) {
    for (const bool negated : {false, true}) {
      index.add(handle_of(i, negated), std::nullopt,
                {{.filter = {.column = "c", .op = op, .value = facts.operands[i], .is_negated = negated},
                  .canonical = facts.canonicals[i]}});
    }
  }
  changes::Questions questions;
  std::vector<changes::Matches> matches;
  for (const std::string& value : facts.values) {
    const Change change{.action = Action::kInsert, .row = {{.kind = changes::Value::Kind::kText, .text = value}}};
    matches.push_back(index.match(change, questions));
  }
  const auto result = database.answer(questions);
  REQUIRE_MESSAGE(result, result.error().message);
  for (std::size_t i = 0; i < facts.values.size(); ++i) {
    std::map<changes::Handle, bool> got;
    for (const changes::Handle handle : matches[i].sure) got[handle] = true;
    for (const changes::Undecided& undecided : matches[i].perhaps) got[undecided.handle] = is_met(undecided, questions);
    for (std::size_t j = 0; j < facts.operands.size(); ++j) {
      const Logic said = facts.answers[i * facts.operands.size() + j];
      for (const bool negated : {false, true}) {
        const bool expected = said && *said != negated;
        const bool is_as_expected = got[handle_of(j, negated)] == expected;
        CHECK_MESSAGE(is_as_expected, type << ": " << facts.values[i] << (negated ? " not " : " ") << name_of(op) << " "
                                           << facts.operands[j] << " is " << expected);
      }
    }
  }
}

// --- Random values

class Sample {
 public:
  explicit Sample(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  std::string digits(std::size_t most) {
    std::string out;
    for (auto left = 1 + below(most); left > 0; --left) out += static_cast<char>('0' + below(below(2) == 0 ? 2 : 10));
    return out;
  }
  std::string one_of(const Texts& texts) { return texts[below(texts.size())]; }
  std::string letters(const Texts& alphabet, std::size_t most) {
    std::string out;
    for (auto left = below(most + 1); left > 0; --left) out += one_of(alphabet);
    return out;
  }
  std::string text() {
    return letters({"a", "A", "b", "B", "z", "Z", "i", "I",  "ı", "İ",      "ä", "Ä",
                    "ß", "é", "e", "_", "-", " ", "1", "😀", "K", "\u212A", "x"},
                   4);
  }
  std::string ascii() { return letters({"a", "A", "b", "B", "i", "I", "_", "%", " ", "\\"}, 5); }
  std::string pattern() {
    std::string out =
        letters({"a", "A", "b", "i", "I", "ı", "ä", "Ä", "%", "%", "_", "\\%", "\\_", "\\a", "\\\\", "é", "K"}, 5);
    return out;
  }
  std::string expression() {
    return letters({"a", "A", "b", ".", ".*", "^", "$", "[a-m]", "(a|b)", "i", "ä", "\\w", "x?"}, 1) +
           letters({"a", "A", "b", ".", ".*", "$", "[a-m]", "(a|b)", "i", "ä", "\\w", "x?"}, 3);
  }
  std::string date() {
    if (below(12) == 0) return one_of({"infinity", "-infinity", "epoch"});
    const std::string year = one_of({"0001", "0044", "1969", "1999", "2000", "2024", "2024", "9999", "12024"});
    const std::string month = std::to_string(1 + below(12));
    return year + "-" + month + "-" + std::to_string(1 + below(28)) + (year[0] == '0' && below(3) == 0 ? " BC" : "");
  }
  std::string time() {
    return std::to_string(below(24)) + ":" + one_of({"00", "34", "59"}) + ":" + one_of({"00", "56", "59"}) +
           one_of({"", "", ".5", ".45", ".000001", ".999999", ".10"});
  }
  std::string timestamp() {
    std::string day = date();
    if (day.find("in") != std::string::npos || day == "epoch") return day;
    const bool is_bc = day.ends_with(" BC");
    if (is_bc) day.resize(day.size() - 3);
    return day + " " + time() + (is_bc ? " BC" : "");
  }
  std::string timestamptz() {
    const std::string out = timestamp();
    if (out.find(':') == std::string::npos || out.ends_with("BC")) return out;
    return out + one_of({"", "+00", "+02", "-05:30", " Europe/Berlin", "Z"});
  }

 private:
  std::mt19937_64 random_;
};

struct Subject {
  const char* type;
  const char* bare;
  std::function<std::string(Sample&)> value;
  std::string_view ops = kComparisons;
};

std::vector<Subject> subjects() {
  const auto integer = [](Sample& sample) { return (sample.below(2) == 0 ? "-" : "") + sample.digits(4); };
  const auto decimal = [](Sample& sample) {
    return (sample.below(2) == 0 ? "-" : "") + sample.digits(4) + (sample.below(2) == 0 ? "" : "." + sample.digits(5));
  };
  const auto number = [decimal](Sample& sample) {
    return decimal(sample) + sample.one_of({"", "", "", "e5", "e-7", "e30", "e-30"});
  };
  const auto text = [](Sample& sample) { return sample.text(); };
  const auto no_order = std::string_view("eq neq isdistinct");
  return {
      {"int2", "int2", integer},
      {"int4", "int4", integer},
      {"int8", "int8", [](Sample& sample) { return sample.digits(18); }},
      {"oid", "oid", [](Sample& sample) { return sample.digits(9); }},
      {"numeric", "numeric", number},
      {"numeric(10,2)", "numeric", decimal},
      {"float4", "float4", number},
      {"float8", "float8", number},
      {"bool", "bool", [](Sample& sample) { return sample.one_of({"yes", "off", "true", "f", "1"}); }},
      {"text", "text", text},
      {"varchar(3)", "varchar", text},
      {"name", "name", text},
      {"char(5)", "bpchar", text},
      {"word", "text", text},
      {"citext", "citext", text},
      {"uuid", "uuid",
       [](Sample& sample) {
         return sample.one_of({"a0", "A0", "b7", "00"}) + "eebc99-9c0b-4ef8-bb6d-6bb9bd380a1" +
                sample.one_of({"1", "f", "F"});
       }},
      {"bytea", "bytea", [](Sample& sample) { return "\\x" + sample.letters({"00", "01", "7f", "80", "FF"}, 3); }},
      {"\"the mood\"", "\"the mood\"", [](Sample& sample) { return sample.one_of({"sad", "ok", "happy", "Ok"}); }},
      {"feeling", "\"the mood\"", [](Sample& sample) { return sample.one_of({"sad", "ok", "happy", "Ok"}); }},
      {"date", "date", [](Sample& sample) { return sample.date(); }},
      {"time", "time", [](Sample& sample) { return sample.time(); }},
      {"timetz", "timetz", [](Sample& sample) { return sample.time() + sample.one_of({"+00", "+02", "-05:30"}); }},
      {"timestamp", "timestamp", [](Sample& sample) { return sample.timestamp(); }},
      {"timestamptz", "timestamptz", [](Sample& sample) { return sample.timestamptz(); }},
      {"interval", "interval",
       [](Sample& sample) {
         return sample.one_of({"1 day", "24:00", "30 days", "1 mon", "-1 day", "00:00:01", "1 year -12 mons", "0"});
       }},
      {"money", "money", [decimal](Sample& sample) { return decimal(sample); }},
      {"inet", "inet",
       [](Sample& sample) {
         return sample.one_of({"10.0.0.", "10.0.1."}) + sample.digits(1) + sample.one_of({"", "/32", "/24", "/8"});
       }},
      {"cidr", "cidr",
       [](Sample& sample) { return sample.one_of({"10.0.0.0/24", "10/8", "10.1.0.0/16", "::/0", "::1", "::/32"}); }},
      {"macaddr", "macaddr",
       [](Sample& sample) { return "08:00:2b:01:02:" + sample.one_of({"03", "0A", "0a", "ff"}); }},
      {"pg_lsn", "pg_lsn",
       [](Sample& sample) { return sample.digits(3) + "/" + sample.one_of({"0", "FF", "ff", "100"}); }},
      {"bit(4)", "\"bit\"",
       [](Sample& sample) { return sample.letters({"0", "1"}, 0) + sample.one_of({"1010", "0000", "1011"}); }},
      {"varbit", "varbit", [](Sample& sample) { return sample.letters({"0", "1"}, 9); }},
      {"jsonb", "jsonb",
       [](Sample& sample) {
         return sample.one_of({"1", "1.0", "\"a\"", "{\"a\": 1}", "{\"a\":1.0}", "[1, 2]", "null"});
       }},
      {"int4[]", "int4[]",
       [](Sample& sample) { return sample.one_of({"{}", "{1}", "{1,2}", "{ 1 , NULL }", "{{1,2}}", "[0:1]={1,2}"}); }},
      {"text[]", "text[]",
       [](Sample& sample) { return "{\"" + sample.letters({"a", "B", "ä", "\\\"", "\\\\", ","}, 2) + "\"}"; }},
      {"\"the mood\"[]", "\"the mood\"[]",
       [](Sample& sample) { return sample.one_of({"{sad}", "{ok,Ok}", "{Ok,ok}", "{}"}); }},
      {"pair", "pair", [](Sample& sample) { return sample.one_of({"(1,a)", "(1,)", "(,)", "(2,\"a b\")", "(1,A)"}); }},
      {"int4range", "int4range",
       [](Sample& sample) { return sample.one_of({"[1,5)", "[1,4]", "empty", "(,5)", "[1,)"}); }},
      {"span", "span", [](Sample& sample) { return sample.one_of({"[1,5)", "[1.0,5.00)", "empty", "(,5)"}); }},
      {"int4multirange", "int4multirange",
       [](Sample& sample) { return sample.one_of({"{}", "{[1,3)}", "{[1,2],[5,6]}"}); }},
      {"hstore", "hstore", [](Sample& sample) { return sample.one_of({"a=>1", "b=>2, a=>1", "a=>1,b=>2", ""}); },
       no_order},
      {"price", "numeric",
       [decimal](Sample& sample) {
         return sample.below(5) == 0 ? sample.one_of({"NaN", "Infinity", "-Infinity"}) : decimal(sample);
       }},
      {"box", "box", [](Sample& sample) { return sample.one_of({"(1,1),(0,0)", "(2,2),(1,1)", "(3,1),(0,0)"}); },
       "eq lt lte gt gte"},
      {"xid", "xid", [](Sample& sample) { return sample.digits(2); }, "eq neq isdistinct"},
      {"\"char\"", "\"char\"", [](Sample& sample) { return sample.one_of({"a", "B", ""}); }},
      {"tsvector", "tsvector", [](Sample& sample) { return sample.one_of({"a b", "b a", "'x':1"}); }},
  };
}

Texts many(std::size_t count, const std::function<std::string()>& make) {
  Texts out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(make());
  return out;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

void check_all(FilterDatabase& database) {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  Sample sample(seed);
  for (const Subject& subject : subjects()) {
    const auto any = [&] { return subject.value(sample); };
    const auto compare = [&](Op op, const Texts& values, const Texts& operands) {
      check(database, facts(database, subject.type, subject.bare, values, operands, op), op, subject.type);
    };
    const Texts values = many(14, any);
    const Texts operands = many(14, any);
    for (const std::string_view name : words(subject.ops)) compare(op_of(name), values, operands);
    if (!std::string_view(subject.type).ends_with("[]")) {
      compare(Op::kIn, values, many(8, [&] {
                const char delimiter = std::string_view(subject.type) == "box" ? ';' : ',';
                std::string list = array_of(many(1 + sample.below(4), any), delimiter);
                if (sample.below(3) == 0) list.insert(1, std::string("NULL") + delimiter);
                return list;
              }));
    }
  }
}

void check_patterns(FilterDatabase& database) {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  Sample sample(seed);
  for (const auto& [type, bare] :
       {std::pair("text", "text"), {"char(6)", "bpchar"}, {"name", "name"}, {"citext", "citext"}}) {
    const bool has_expressions = std::string_view(type) == "text" || std::string_view(type) == "citext";
    for (const Op op : {Op::kLike, Op::kIlike, Op::kMatch, Op::kImatch}) {
      const bool is_expression = op == Op::kMatch || op == Op::kImatch;
      if (is_expression && !has_expressions) continue;
      const Texts values = many(20, [&] { return sample.below(2) == 0 ? sample.text() : sample.ascii(); });
      const Texts patterns = many(20, [&] { return is_expression ? sample.expression() : sample.pattern(); });
      check(database, facts(database, type, bare, values, patterns, op), op, type);
    }
  }
}

TEST_CASE("filters decide what the operators of Postgres decide, in the collation C [PC-084] [PC-085] [PC-086]") {
  FilterDatabase database("filters_c");
  check_all(database);
  check_patterns(database);
}

TEST_CASE("filters decide what the operators of Postgres decide, in C.UTF-8 [PC-085] [PC-086]") {
  FilterDatabase database("filters_c_utf8", "LOCALE 'C.UTF-8' ENCODING UTF8");
  check_all(database);
  check_patterns(database);
}

TEST_CASE("filters decide what the operators of Postgres decide, in an ICU locale [PC-085] [PC-086]") {
  FilterDatabase database("filters_icu", "LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C.UTF-8' ENCODING UTF8",
                          {.orders_by_bytes = false, .folds_ascii_plainly = true});
  check_all(database);
  check_patterns(database);
}

TEST_CASE("filters decide what the operators of Postgres decide, in Turkish [PC-086]") {
  FilterDatabase database("filters_tr", "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C.UTF-8' ENCODING UTF8", {});
  check_patterns(database);
}

}  // namespace
}  // namespace rt::database
