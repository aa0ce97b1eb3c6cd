#include "services/database/filter_questions.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"
#include "io/postgres/pool.h"
#include "services/database/asking_as.h"

namespace rt::database {
namespace {

using changes::Oid;
using changes::Op;
using changes::Question;
using changes::Questions;
using changes::Type;
using changes::TypeKind;
using changes::Types;
using postgres::Statement;

// Of a statement. An element of an array is found by going past those before it, so the arrays are short.
constexpr std::size_t kQuestionsMax = 500;
constexpr std::size_t kBytesMax = std::size_t{2} << 20;  // of its texts but the largest
// Of a transaction. Together less than a batch may have; a text of more than that is not asked about.
constexpr std::size_t kStatementsMax = 16;
constexpr std::size_t kBatchBytesMax = std::size_t{4} << 20;
// Of questions that are asked by themselves. They are to take no time; one that takes long keeps all others waiting,
// and after some of these no more is asked.
constexpr std::chrono::milliseconds kTimeoutAloneMin{20};
constexpr int kTimeoutAloneShare = 10;  // of the time of a statement
constexpr int kTimeOutsMax = 20;

constexpr std::string_view kQueryCanceled = "57014";
constexpr const char* kTextType = "pg_catalog.text";

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// Not by format_type: the `character` that it writes is a char(1).
std::string sql_name(const Type& type) { return quoted(type.schema) + "." + quoted(type.name); }

// How one operator is applied to values of one type: text around and between the two.
struct Shape {
  std::string value_type;
  std::string operand_type;
  bool has_arrays = false;  // for one side or both
  std::string before{};
  std::string between{};
  std::string after{};

  std::string apply(std::string_view value, std::string_view operand) const {
    return std::string(before).append(value).append(between).append(operand).append(after);
  }
};

std::string_view symbol_of(Op op) {
  switch (op) {
    case Op::kEq:
    case Op::kIn:
      return "=";
    case Op::kLt:
      return "<";
    case Op::kLte:
      return "<=";
    case Op::kGt:
      return ">";
    case Op::kGte:
      return ">=";
    case Op::kLike:
      return "~~";
    case Op::kIlike:
      return "~~*";
    case Op::kMatch:
      return "~";
    case Op::kImatch:
      return "~*";
    default:
      return "";  // is never asked
  }
}

std::string built_in(std::string_view symbol) {
  return std::string(" OPERATOR(pg_catalog.").append(symbol).append(") ");
}

bool is_pattern(Op op) { return op == Op::kLike || op == Op::kIlike || op == Op::kMatch || op == Op::kImatch; }

// nullopt: there is no such operator.
std::optional<Shape> pattern_shape(const Type& type, Op op) {
  if (type.schema == "pg_catalog")
    return Shape{.value_type = sql_name(type), .operand_type = kTextType, .between = built_in(symbol_of(op))};
  // citext is text, all of whose patterns take letters in either case.
  if (type.name != "citext" || type.kind != TypeKind::kBase) return std::nullopt;
  const Op folded = op == Op::kLike || op == Op::kIlike ? Op::kIlike : Op::kImatch;
  return Shape{.value_type = kTextType, .operand_type = kTextType, .between = built_in(symbol_of(folded))};
}

std::optional<Shape> shape_of(const Type& type, Op op) {
  if (symbol_of(op).empty()) return std::nullopt;
  if (is_pattern(op)) return pattern_shape(type, op);
  const std::string name = sql_name(type);
  const bool is_array = type.element != 0;
  const bool is_own = type.schema == "pg_catalog" || is_array;
  Shape shape{.value_type = name, .operand_type = op == Op::kIn ? name + "[]" : name, .has_arrays = is_array};
  if (op != Op::kIn) {
    shape.between = built_in(symbol_of(op));
    if (!is_own) shape.before = "ARRAY[", shape.between = "]" + shape.between + "ARRAY[", shape.after = "]";
    return shape;
  }
  shape.has_arrays = true;
  if (is_array) return std::nullopt;
  if (is_own) {
    shape.between = built_in("=") + "ANY (";
    shape.after = ")";
  } else {
    shape.before = "ARRAY[";
    shape.between = "]" + built_in("<@");
  }
  return shape;
}

// Texts of one side, each once; places from 1.
class Side {
 public:
  bool has(Question::TextId id) const { return places_.contains(id); }
  std::size_t place_of(Question::TextId id) {
    const auto [found, is_new] = places_.emplace(id, texts_.size() + 1);
    if (is_new) texts_.push_back(id);
    return found->second;
  }
  const std::vector<Question::TextId>& texts() const { return texts_; }
  std::string as_array(const Questions& all) const {
    ArrayText out;
    for (const Question::TextId id : texts_) out.add(all.text(id));
    return out.take();
  }

 private:
  std::map<Question::TextId, std::size_t> places_;
  std::vector<Question::TextId> texts_;
};

// Some questions of one shape: a row of the answer for each.
class Ask {
 public:
  Ask(const Questions& all, const Shape& shape) : all_(all), shape_(shape) {}

  const Shape& shape() const { return shape_; }
  const std::vector<Questions::Index>& questions() const { return questions_; }
  std::size_t bytes() const { return bytes_; }

  // False: it has no room for it.
  bool add(Questions::Index index) {
    const Question& question = all_.all()[index];
    std::size_t bytes = bytes_;
    std::size_t largest = largest_;
    for (const auto& [side, id] : {std::pair(&values_, question.value), {&operands_, question.operand}}) {
      if (side->has(id)) continue;
      bytes += all_.text(id).size();
      largest = std::max(largest, all_.text(id).size());
    }
    if (questions_.size() == kQuestionsMax || bytes - largest > kBytesMax) return false;
    bytes_ = bytes;
    largest_ = largest;
    questions_.push_back(index);
    value_places_.push_back(values_.place_of(question.value));
    operand_places_.push_back(operands_.place_of(question.operand));
    return true;
  }

  // There are no arrays of arrays, so arrays are parameters of their own.
  Statement statement() const { return shape_.has_arrays || questions_.size() == 1 ? one_by_one() : by_arrays(); }

 private:
  Statement by_arrays() const {
    const std::string value = "($1::" + shape_.value_type + "[])[p.v]";
    const std::string operand = "($2::" + shape_.operand_type + "[])[p.f]";
    const auto array = [](const std::vector<std::size_t>& places) {
      std::string out = "{";
      for (const std::size_t place : places) out.append(out.size() == 1 ? "" : ",").append(std::to_string(place));
      return out + "}";
    };
    return {
        .sql = "SELECT " + shape_.apply(value, operand) +
               " FROM unnest($3::pg_catalog.int4[], $4::pg_catalog.int4[]) AS p (v, f)",
        .parameters = {values_.as_array(all_), operands_.as_array(all_), array(value_places_), array(operand_places_)}};
  }

  Statement one_by_one() const {
    Statement out{.sql = "VALUES ", .plan = postgres::Plan::kOnce};
    for (std::size_t i = 0; i < questions_.size(); ++i) {
      const std::string value = std::to_string(value_places_[i]);
      const std::string operand = std::to_string(values_.texts().size() + operand_places_[i]);
      out.sql.append(i == 0 ? "(" : ", (");
      out.sql.append(shape_.apply("$" + value + "::" + shape_.value_type, "$" + operand + "::" + shape_.operand_type));
      out.sql.append(")");
    }
    for (const Side* side : {&values_, &operands_}) {
      for (const Question::TextId id : side->texts()) out.parameters.emplace_back(all_.text(id));
    }
    return out;
  }

  const Questions& all_;
  const Shape& shape_;
  std::vector<Questions::Index> questions_;
  std::vector<std::size_t> value_places_;
  std::vector<std::size_t> operand_places_;
  Side values_;
  Side operands_;
  std::size_t bytes_ = 0;
  std::size_t largest_ = 0;
};

// An error of the statement itself: no such operator or type. It would be that of each question, too.
bool is_of_the_shape(const postgres::PgError& error) { return error.sqlstate.starts_with("42"); }

class Asking {
 public:
  Asking(postgres::Pool& pool, const Types& types, Questions& questions, std::chrono::milliseconds timeout)
      : pool_(pool), questions_(questions), timeout_(timeout) {
    // Those of one statement behind each other, and of these those of one operand: Postgres keeps few regular
    // expressions compiled.
    std::vector<Questions::Index> order(questions.size());
    std::iota(order.begin(), order.end(), Questions::Index{0});
    std::ranges::sort(order, {}, [&](Questions::Index index) {
      const Question& question = questions.all()[index];
      return std::tuple(question.type, question.op, question.operand, question.value);
    });
    for (const Questions::Index index : order) {
      const Question& question = questions.all()[index];
      const Shape* shape = shape_for(types, question);
      if (shape == nullptr) continue;
      if (!together_.empty() && &together_.back()->shape() == shape && together_.back()->add(index)) continue;
      add_to(together_, *shape, index);
    }
  }

  postgres::Task<postgres::Result<void>> run() {
    if (auto result = co_await run_all(together_, timeout_); !result) co_return result;
    co_return co_await run_all(alone_, std::max(timeout_ / kTimeoutAloneShare, kTimeoutAloneMin));
  }

 private:
  using Asks = std::vector<std::unique_ptr<Ask>>;

  void add_to(Asks& asks, const Shape& shape, Questions::Index index) {
    asks.push_back(std::make_unique<Ask>(questions_, shape));
    RT_CHECK(asks.back()->add(index));
  }

  // Null: it has no answer.
  const Shape* shape_for(const Types& types, const Question& question) {
    const auto [place, is_new] = shapes_.try_emplace({question.type, question.op});
    if (const Type* type = is_new ? types.find(question.type) : nullptr) place->second = shape_of(*type, question.op);
    return place->second ? &*place->second : nullptr;
  }

  postgres::Task<postgres::Result<void>> run_all(const Asks& asks, std::chrono::milliseconds timeout) {
    for (auto next = asks.begin(); next != asks.end() && time_outs_ < kTimeOutsMax;) {
      std::vector<const Ask*> batch;
      std::size_t bytes = 0;
      while (next != asks.end() && batch.size() < kStatementsMax) {
        bytes += (*next)->bytes();
        if (!batch.empty() && bytes > kBatchBytesMax) break;
        batch.push_back(next->get());
        ++next;
      }
      if (auto result = co_await run_batch(batch, timeout); !result) co_return result;
    }
    co_return postgres::Result<void>{};
  }

  postgres::Task<postgres::Result<void>> run_batch(const std::vector<const Ask*>& asks,
                                                   std::chrono::milliseconds timeout) {
    postgres::Batch batch{.statements = {save()}, .ends = postgres::Ends::kRolledBack, .statement_timeout = timeout};
    std::vector<std::size_t> places;
    for (const Ask* ask : asks) {
      if (ask != asks.front()) batch.statements.push_back(go_back());
      places.push_back(batch.statements.size());
      batch.statements.push_back(ask->statement());
    }
    const postgres::SectionsReply reply = co_await pool_.run_sections(std::move(batch));
    if (!reply) {
      // There are such texts, and what is asked after them may be answered.
      if (reply.error().kind == postgres::ErrorClass::kRequestTooLarge) co_return postgres::Result<void>{};
      co_return tl::make_unexpected(reply.error());
    }
    for (std::size_t i = 0; i < asks.size(); ++i) take(*asks[i], (*reply)[places[i]]);
    co_return postgres::Result<void>{};
  }

  void take(const Ask& ask, const postgres::Result<postgres::Rows>& rows) {
    if (!rows) return take_error(ask, rows.error());
    for (std::size_t row = 0; row < std::min(rows->size(), ask.questions().size()); ++row) {
      if (const auto said = rows->text(row, 0)) questions_.answer(ask.questions()[row], *said == "t");
    }
  }

  void take_error(const Ask& ask, const postgres::PgError& error) {
    if (is_of_the_shape(error)) return;
    if (ask.questions().size() == 1) {
      if (error.sqlstate == kQueryCanceled) ++time_outs_;
      return;
    }
    for (const Questions::Index index : ask.questions()) add_to(alone_, ask.shape(), index);
  }

  postgres::Pool& pool_;
  Questions& questions_;
  const std::chrono::milliseconds timeout_;
  std::map<std::pair<Oid, Op>, std::optional<Shape>> shapes_;
  Asks together_;
  Asks alone_;
  int time_outs_ = 0;
};

}  // namespace

postgres::Task<postgres::Result<void>> answer_questions(postgres::Pool& pool, const Types& types, Questions& questions,
                                                        std::chrono::milliseconds timeout) {
  Asking asking(pool, types, questions, timeout);
  co_return co_await asking.run();
}

}  // namespace rt::database
