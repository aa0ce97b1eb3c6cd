// What a tenant's policies say, asked by probes: rows of realtime.messages that are written, looked at and rolled back.
//
// A policy sees who asks by six settings of the transaction (authorization.md 2), so it gives the answer that a user of
// the database would get. To read: the rows are written by the login, which no policy holds back, and whoever the
// token names looks for them. To write: whoever it is tries.
//
// Many questions share one transaction. Behind each the savepoint is gone back to, with it the role and the settings,
// and what was an error for one is nothing to the others. Policies that look at the table themselves would see the
// probes of others, so they are asked one by one.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "io/postgres/batch.h"
#include "model/rights_question.h"

namespace rt::database {

// Of what the database must not be asked: a role `none` would be the login's, and so would a superuser's own.
// `superuser` is the name of the login where it is one, else empty. nullopt: it may be asked.
std::optional<RightsFault> refused_unasked(const RightsQuestion& question, std::string_view superuser);

// What it takes in memory, and on its way.
std::size_t bytes_of(const RightsQuestion& question);

// How an error of the database is told.
RightsFault fault_of(const postgres::PgError& error);

struct ProbeAnswer {
  // Nothing more is to be asked. Else a part of the answer may be known already.
  bool is_complete() const { return remains == AskedRights{} && !has_to_be_alone; }

  RightsAnswer answer;
  AskedRights remains{};         // to be asked in another transaction
  bool has_to_be_alone = false;  // all of it has to be asked again, by itself
};

struct ProbeAnswers {
  std::vector<ProbeAnswer> answers;  // by question
  bool policies_see_probes = false;
};

class ProbeBatch {
 public:
  static constexpr std::size_t kQuestionsMax = 64;
  static constexpr std::size_t kQuestionBytesMax = std::size_t{1} << 20;  // of one; larger ones are refused
  static constexpr std::size_t kBytesMax = std::size_t{4} << 20;          // of all, or there is one only
  // How long a statement may take; the second: where others wait behind it.
  static constexpr std::chrono::milliseconds kTimeout{10'000};
  static constexpr std::chrono::milliseconds kSharedTimeout{250};
  static constexpr std::chrono::milliseconds kPatience{20'000};  // for all of it

  // `now` goes into the rows. The questions must be there until read(). kLook: whether policies see the probes; of
  // several questions it is looked at in any case.
  enum class SeesProbes : std::uint8_t { kLook, kDoNotLook };
  ProbeBatch(std::span<const RightsQuestion* const> questions, std::chrono::system_clock::time_point now,
             Random& random, SeesProbes sees_probes = SeesProbes::kDoNotLook);

  // Once.
  postgres::Batch take() { return std::move(batch_); }
  ProbeAnswers read(const postgres::SectionsReply& reply) const;

 private:
  // Places among the statements; -1: there is none.
  struct Asked {
    const RightsQuestion* question = nullptr;
    std::string broadcast_id{};
    std::string presence_id{};
    int settings = -1;
    int look = -1;
    int write_broadcast = -1;
    int write_presence = -1;
  };
  using Replies = std::vector<postgres::Result<postgres::Rows>>;

  int add(postgres::Statement statement);
  void write_rows(const std::string& now);
  void ask(Asked& asked, const std::string& now);
  ProbeAnswer answer_to(const Asked& asked, const Replies& replies) const;
  bool is_alone() const { return asked_.size() == 1; }

  postgres::Batch batch_;
  std::vector<Asked> asked_;
  int sees_probes_ = -1;
  int prepared_ = -1;  // the last statement before the savepoint that may fail
};

}  // namespace rt::database
