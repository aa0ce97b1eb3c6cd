// What a tenant's policies say, without writing: their expressions, over a row of constants as the probes would have
// it.
//
// The expressions are read from the catalog and asked in one transaction, by the role that the token names and in its
// search path, so that each name means what the policy means by it. They are asked as they were read the last time, and
// read again by the same transaction: where they differ by now, nothing that was answered counts. So a changed policy,
// role or table counts at once, and a question costs one round trip.
//
// It only answers where probes would surely answer the same. All else is left to the probes: a table with triggers or
// constraints of users, expressions that a row of constants cannot serve, whatever looked into realtime.messages (its
// lock tells, however deep in a function it was), and the errors, so that they are those of the probes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "io/postgres/batch.h"
#include "model/rights_question.h"

namespace rt::database {

// All that decides for one role, as it stood in the catalog.
struct RoleExpressions {
  bool operator==(const RoleExpressions&) const = default;

  bool is_sure = false;      // else nothing may be answered by them
  bool is_held_back = true;  // by policies: it neither owns the table nor bypasses them
  bool may_select = false;   // the privileges that looking for a probe takes
  bool may_insert = false;   // and writing one
  // Nobody reads, or writes, for whom none allows it.
  std::optional<std::string> reading_allowed_by{};
  int reading_restrictions = 0;
  std::optional<std::string> reading_restricted_by{};
  std::optional<std::string> writing_allowed_by{};
  int writing_restrictions = 0;
  std::optional<std::string> writing_restricted_by{};
};

// What was read of each role lately. A guess, which each transaction checks.
class KnownExpressions {
 public:
  static constexpr std::size_t kRolesMax = 64;  // more: all are forgotten
  // For how long a role that cannot be answered is asked about by probes only.
  static constexpr std::chrono::seconds kUnsureFor{10};

  const RoleExpressions* of(const std::string& role) const;
  void learn(const std::string& role, RoleExpressions expressions);
  // Probes had to be used, and will have to be.
  void note_unsure(const std::string& role, Time now);
  bool is_worth_asking(const std::string& role, Time now) const;

 private:
  struct Known {
    std::optional<RoleExpressions> expressions{};
    Time unsure_until{};
  };
  Known& entry(const std::string& role);

  std::unordered_map<std::string, Known> roles_;
};

struct ExpressionAnswer {
  // kAgain: the expressions are others than were known; now they are. kByProbes: it has to be asked by these.
  enum class What : std::uint8_t { kAnswer, kAgain, kByProbes };

  What what = What::kByProbes;
  bool is_unsure = false;  // by probes: as will be others of this role
  RightsAnswer answer{};
};

class ExpressionBatch {
 public:
  static constexpr std::size_t kExpressionBytesMax = std::size_t{64} << 10;  // of one role; more: by probes

  // As ProbeBatch has them. The questions must be there until read().
  ExpressionBatch(std::span<const RightsQuestion* const> questions, std::chrono::system_clock::time_point now,
                  const KnownExpressions& known);

  // Once.
  postgres::Batch take() { return std::move(batch_); }
  // By question. What was read goes into `known`.
  std::vector<ExpressionAnswer> read(const postgres::SectionsReply& reply, KnownExpressions& known) const;

 private:
  // Places among the statements; -1: there is none.
  struct Role {
    std::optional<RoleExpressions> guessed{};
    int expressions = -1;
  };
  struct Asked {
    const RightsQuestion* question = nullptr;
    int settings = -1;
    int reading = -1;
    int writing = -1;
    int looked = -1;
  };
  using Replies = std::vector<postgres::Result<postgres::Rows>>;

  int add(postgres::Statement statement);
  void read_catalog(std::span<const RightsQuestion* const> questions, const KnownExpressions& known);
  void ask(const RightsQuestion& question, const std::string& now);
  ExpressionAnswer answer_to(const Asked& asked, const RoleExpressions& said, const Replies& replies) const;

  postgres::Batch batch_;
  int is_plain_ = -1;
  std::unordered_map<std::string, Role> roles_;
  std::vector<Asked> asked_;
};

}  // namespace rt::database
