// What only Postgres can say about the rows of a batch: each question once, however many subscriptions and changes
// it is for, and each text once, however many questions it is in.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/request.h"
#include "domain/changes/table.h"

namespace rt::changes {

class Questions;

// Whether a value of a row stands to one of a filter as `op` says. Neither is NULL. `op` is no kNeq, kIs or
// kIsDistinct: these are negated kEq, or need nobody to be asked.
struct Question {
  using TextId = std::uint32_t;  // of a text that Questions keep

  Oid type = 0;  // of the column, or what its domain is made of
  Op op = Op::kEq;
  TextId value = 0;    // of the row
  TextId operand = 0;  // of the filter: its own text where it depends on the time (`now`), else the canonical one
  auto operator<=>(const Question&) const = default;
};

// Of one batch.
class Questions {
 public:
  using Index = std::uint32_t;
  using TextId = Question::TextId;

  // Equal texts are one. Ordered and not hashed: rows and filters are chosen by users, who could make hashes collide.
  TextId keep(std::string_view text);
  const std::string& text(TextId id) const { return *texts_[id]; }

  Index ask(const Question& question);
  const std::vector<Question>& all() const { return questions_; }
  std::size_t size() const { return questions_.size(); }

  // nullopt: it could not be told (an error, or NULL), so it matches neither way.
  void answer(Index index, std::optional<bool> matches) { answers_[index] = matches; }
  std::optional<bool> answer_to(Index index) const { return answers_[index]; }

 private:
  std::map<std::string, TextId, std::less<>> ids_;
  std::vector<const std::string*> texts_;  // keys of the former
  std::map<Question, Index> places_;
  std::vector<Question> questions_;
  std::vector<std::optional<bool>> answers_;
};

}  // namespace rt::changes
