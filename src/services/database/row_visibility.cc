#include "services/database/row_visibility.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <optional>
#include <span>
#include <utility>

#include "io/postgres/task_group.h"
#include "services/database/asking_as.h"
#include "services/database/snapshot.h"

namespace rt::database {
namespace {

using postgres::ErrorClass;
using postgres::Statement;

// Questions that share a transaction: fewer commits, and no more to ask again if one of them fails.
constexpr std::size_t kQuestionsPerBatch = 32;
constexpr std::size_t kBytesPerBatch = std::size_t{2} << 20;
constexpr std::chrono::milliseconds kPauses[] = {std::chrono::milliseconds(1),  std::chrono::milliseconds(2),
                                                 std::chrono::milliseconds(5),  std::chrono::milliseconds(10),
                                                 std::chrono::milliseconds(20), std::chrono::milliseconds(50)};

constexpr const char* kSnapshot = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text";
// A plan that was made for one user must not serve another (asking_as.cc). So none is worth compiling. $1: whether a
// plan may read a whole table, which seems to be cheap because policies do.
constexpr const char* kPrepare =
    "SELECT pg_catalog.set_config('plan_cache_mode', 'force_custom_plan', true), pg_catalog.set_config('jit', 'off', "
    "true), pg_catalog.set_config('enable_seqscan', $1, true)";
constexpr const char* kBecome =
    "SELECT pg_catalog.set_config('request.jwt.claims', $2, true), pg_catalog.set_config('role', $1, true)";

Statement prepare(const VisibilityQuestion& question) {
  return {.sql = kPrepare, .parameters = {question.keys->is_by_value() ? "off" : "on"}};
}

Statement become(const Viewer& viewer) { return {.sql = kBecome, .parameters = {viewer.role, viewer.claims}}; }

std::size_t bytes_of(const VisibilityQuestion& question) {
  return question.viewer->claims.size() + question.keys->bytes();
}

// Those at the beginning that may share a transaction.
std::span<VisibilityQuestion> first_of(std::span<VisibilityQuestion> questions) {
  std::size_t bytes = 0;
  std::size_t count = 0;
  while (count < questions.size() && count < kQuestionsPerBatch && bytes < kBytesPerBatch &&
         questions[count].keys->is_by_value() == questions.front().keys->is_by_value())
    bytes += bytes_of(questions[count++]);
  return questions.first(count);
}

// Of the statement, of what it may do or of how long it may take; anything else says nothing of the rows.
bool is_of_the_question(const postgres::PgError& error) {
  return is_of_the_statement(error) || (error.kind == ErrorClass::kTimeOut && error.sqlstate == "57014") ||
         error.kind == ErrorClass::kResultTooLarge || error.kind == ErrorClass::kRequestTooLarge;
}

bool is_time_out(const postgres::PgError& error) { return error.sqlstate == "57014"; }

class Asking {
 public:
  Asking(postgres::Pool& pool, boost::asio::io_context& io, const VisibilityConfig& config, const VisibilityLog& log)
      : pool_(pool), config_(config), log_(log), group_(io) {}

  enum class If : std::uint8_t { kVisible, kInAnyCase };

  // True: the transactions were visible before any of the questions was asked. Else only some have been, for kVisible.
  postgres::Task<postgres::Result<bool>> ask(const std::vector<std::uint32_t>& transactions,
                                             std::span<VisibilityQuestion> questions, If wanted) {
    group_.spawn(ask_whether_visible(transactions));
    // With few questions there is no second way to the database and back. With many it would be a pity to ask in vain.
    const std::span<VisibilityQuestion> first = first_of(questions);
    group_.spawn(ask_some(first));
    co_await group_.drained();
    questions = questions.subspan(first.size());
    while (!failure_ && (all_are_visible_ || wanted == If::kInAnyCase) && !questions.empty()) {
      const std::span<VisibilityQuestion> some = first_of(questions);
      group_.spawn(ask_some(some));
      questions = questions.subspan(some.size());
    }
    co_await group_.drained();
    if (failure_) co_return tl::make_unexpected(*std::move(failure_));
    co_return all_are_visible_;
  }

 private:
  // On the one connection that all of them share, so that they are asked behind it.
  postgres::Task<void> ask_whether_visible(const std::vector<std::uint32_t>& transactions) {
    postgres::Batch batch;
    batch.statements = {{.sql = kSnapshot}};
    const auto reply = co_await pool_.run(std::move(batch));
    if (!reply) co_return fail(reply.error());
    all_are_visible_ = sees_all(reply->back().text(0, 0).value_or(""), transactions);
  }

  // Each begins where the one before it began: what a policy has set, for a moment or for the session, is undone with
  // it. Sections, each of which costs a message of its own in both directions, are for those of which one has failed.
  struct Together {
    postgres::Batch batch;
    std::vector<std::size_t> place_of;  // of the statement with which each begins
  };
  Together together(std::span<VisibilityQuestion> questions, postgres::Runs goes_back) const {
    Together out;
    out.batch.statement_timeout = config_.timeout;
    out.batch.ends = postgres::Ends::kRolledBack;
    out.batch.statements = {prepare(questions.front()), save()};
    out.batch.limits.rows = 16 + 2 * questions.size();
    for (const VisibilityQuestion& question : questions) {
      if (!out.place_of.empty()) {
        out.batch.statements.push_back(go_back());
        out.batch.statements.back().runs = goes_back;
      }
      out.place_of.push_back(out.batch.statements.size());
      out.batch.limits.rows += question.keys->size();
      out.batch.statements.push_back(become(*question.viewer));
      out.batch.statements.push_back(question.keys->look_for_all());
    }
    return out;
  }

  postgres::Task<void> ask_some(std::span<VisibilityQuestion> questions) {
    auto [batch, place_of] = together(questions, postgres::Runs::kIfAllIsWell);
    const auto reply = co_await pool_.run(std::move(batch));
    for (std::size_t i = 0; reply && i < questions.size(); ++i)
      questions[i].keys->take_all((*reply)[place_of[i] + 1], questions[i].is_visible);
    if (reply) co_return;
    if (!is_of_the_question(reply.error())) co_return fail(reply.error());
    co_await ask_each(questions);
  }

  postgres::Task<void> ask_each(std::span<VisibilityQuestion> questions) {
    auto [batch, place_of] = together(questions, postgres::Runs::kInAnyCase);
    const auto reply = co_await pool_.run_sections(std::move(batch));
    if (!reply) {
      if (!is_of_the_question(reply.error())) co_return fail(reply.error());
      // One of them is to blame, and nothing is known of the others.
      if (questions.size() == 1) co_return note(questions.front(), reply.error());
      for (std::size_t i = 0; i < questions.size() && !failure_; ++i) co_await ask_each(questions.subspan(i, 1));
      co_return;
    }
    for (std::size_t i = 0; i < questions.size() && !failure_; ++i) {
      const auto& became = (*reply)[place_of[i]];
      const auto& seen = (*reply)[place_of[i] + 1];
      if (seen) {
        questions[i].keys->take_all(*seen, questions[i].is_visible);
        continue;
      }
      note(questions[i], became ? seen.error() : became.error());
      // What takes too long for all of them would hold up everybody if it were tried for each.
      if (became && questions[i].keys->size() > 1 && !is_time_out(seen.error())) co_await ask_by_row(questions[i]);
    }
  }

  void note(const VisibilityQuestion& question, const postgres::PgError& why) const {
    log_(why.sqlstate == "42501" || why.sqlstate == "22023" ? "RlsRoleError" : "RlsPolicyError",
         "rows of " + question.keys->table().sql.name + " are not told to role " + question.viewer->role +
             ", whose right to see them cannot be found out: " + why.message +
             (why.sqlstate.empty() ? "" : " (" + why.sqlstate + ")"));
  }

  postgres::Task<void> ask_by_row(VisibilityQuestion& question) {
    postgres::Batch batch;
    batch.statement_timeout = config_.timeout;
    batch.ends = postgres::Ends::kRolledBack;
    batch.statements = {prepare(question), become(*question.viewer), save()};
    for (std::size_t row = 0; row < question.keys->size(); ++row) {
      if (row > 0) batch.statements.push_back(go_back());
      batch.statements.push_back(question.keys->look_for(row));
    }
    const auto reply = co_await pool_.run_sections(std::move(batch));
    if (!reply) {
      if (!is_of_the_question(reply.error())) fail(reply.error());
      co_return;
    }
    for (std::size_t row = 0; row < question.keys->size(); ++row) {
      const auto& found = (*reply)[3 + 2 * row];
      if (found) question.is_visible[row] = found->size() > 0;
    }
  }

  void fail(const postgres::PgError& error) {
    if (!failure_) failure_ = error;
  }

  postgres::Pool& pool_;
  const VisibilityConfig& config_;
  const VisibilityLog& log_;
  bool all_are_visible_ = false;
  std::optional<postgres::PgError> failure_;
  postgres::TaskGroup group_;
};

}  // namespace

postgres::Task<postgres::Result<void>> ask_visibility(postgres::Pool& pool, boost::asio::io_context& io,
                                                      const Clock& clock, postgres::Event& stopped,
                                                      const VisibilityConfig& config,
                                                      std::vector<std::uint32_t> transactions,
                                                      std::vector<VisibilityQuestion>& questions,
                                                      const VisibilityLog& log) {
  const Time until = clock.now() + config.visible_within;
  for (std::size_t attempt = 0;; ++attempt) {
    const bool is_last = clock.now() >= until;
    for (VisibilityQuestion& question : questions) question.is_visible.assign(question.keys->size(), false);
    Asking asking(pool, io, config, log);
    const auto asked =
        co_await asking.ask(transactions, questions, is_last ? Asking::If::kInAnyCase : Asking::If::kVisible);
    if (!asked) co_return tl::make_unexpected(asked.error());
    if (*asked) co_return postgres::Result<void>{};
    if (is_last) {
      log("RlsVisibilityTimeout",
          "a transaction was read from the log and was not visible for " +
              std::to_string(config.visible_within.count() / 1'000) +
              " s: its rows are told to those who could see them; is a synchronous standby away?");
      co_return postgres::Result<void>{};
    }
    const std::chrono::milliseconds pause = kPauses[std::min(attempt, std::size(kPauses) - 1)];
    if (co_await stopped.wait_until(clock.now() + pause))
      co_return postgres::fail(ErrorClass::kStopped, "it is being stopped");
  }
}

}  // namespace rt::database
