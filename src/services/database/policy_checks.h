// The questions to the policies of one tenant: which of them share a transaction, how long they wait, what they get.
//
// While a transaction is under way on each connection, questions gather; the next one takes as many as it may, so a
// crowd costs few transactions and a single client no wait. Where transactions take long, fewer share one, because all
// of them have their answers at its end. Who asks what another one waits to ask gets the same answer.
// Nothing is remembered: policies may change.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "base/histogram.h"
#include "base/random.h"
#include "io/postgres/event.h"
#include "io/postgres/pool.h"
#include "io/postgres/task_group.h"
#include "model/rights_question.h"
#include "services/database/policy_expressions.h"
#include "services/database/policy_probes.h"
#include "services/database/recent_failures.h"

namespace rt::database {

// How the policies are asked. kExpressions: without writing where that is sure to give the same answer, else by probes.
enum class PolicyMethod : std::uint8_t { kProbes, kExpressions };

struct PolicyChecksConfig {
  PolicyMethod method = PolicyMethod::kProbes;
  std::size_t batches_max = 1;                    // under way: as many as the pool has connections
  std::chrono::milliseconds queue_target{5'000};  // a question that has waited longer for its turn is given up
  std::size_t waiting_max = 10'000;               // questions; more are refused
  std::size_t sharing_max = 20'000;               // who ask the same; likewise
  std::size_t bytes_max = std::size_t{64} << 20;  // of all that are not answered yet; likewise
  std::string superuser{};                        // name of the login where it is one
};

// Milliseconds from a question to its answer.
inline constexpr std::array<std::int64_t, 4> kCheckBounds{10, 250, 5'000, 15'000};
struct CheckTimes {
  Histogram<kCheckBounds> reading;
  Histogram<kCheckBounds> writing;
};

// Written by the thread of the databases, read by anyone.
struct PolicyCounters {
  Counter questions;
  Counter shared;  // got the answer to the same question of somebody else
  Counter transactions;
  Counter by_expressions;  // were answered without writing
  Counter again_alone;     // were asked once more, by themselves
  Counter given_up;        // waited too long
  Counter refused;         // because too many did, or too many wait
};

class PolicyChecks {  // loop-bound
 public:
  using Answer = std::function<void(RightsAnswer)>;

  // All references outlive it. While `given_up` is open no questions are taken; `on_too_many` is told when that begins.
  PolicyChecks(boost::asio::io_context& io, postgres::Pool& pool, PolicyChecksConfig config, const Clock& clock,
               Random& random, RecentFailures& given_up, PolicyCounters& counters, CheckTimes& times,
               std::function<void()> on_too_many);
  ~PolicyChecks();
  PolicyChecks(const PolicyChecks&) = delete;
  PolicyChecks& operator=(const PolicyChecks&) = delete;

  // `answer` is called once, in this call or later.
  void ask(RightsQuestion question, Answer answer);

  // Answers all who wait, and takes no more questions. What is under way is answered by the pool, at the latest when it
  // stops.
  void close();
  postgres::Task<void> drained();

  bool is_idle() const { return unanswered_ == 0; }
  // Questions that have not been put to the database yet.
  bool has_waiting() const { return !again_.empty() || !waiting_.empty(); }
  // Called when a transaction has ended and nothing waits: others may use the pool.
  void set_on_quiet(std::function<void()> on_quiet) { on_quiet_ = std::move(on_quiet); }

 private:
  struct Pending {
    std::string key;
    RightsQuestion question;
    std::vector<Answer> answers;
    Time since;
    Time due;  // for its turn
    std::size_t bytes = 0;
    bool reads = false;
    bool is_alone = false;
    bool by_probes = true;
    int attempts = 0;  // by expressions
    Rights known{};    // of an answer that is not complete yet
  };
  using PendingRef = std::shared_ptr<Pending>;

  void serve();
  postgres::Task<void> work();
  std::vector<PendingRef> next_batch();
  postgres::Task<void> run(std::vector<PendingRef> batch);
  postgres::Task<void> run_probes(std::vector<PendingRef> batch);
  postgres::Task<void> run_expressions(std::vector<PendingRef> batch);
  postgres::Task<std::optional<postgres::SectionsReply>> send(postgres::Batch batch,
                                                              const std::vector<PendingRef>& whose);
  void adapt(Duration took);
  void take_over(const PendingRef& pending, const ProbeAnswer& answer);
  void take_over(const PendingRef& pending, const ExpressionAnswer& answer);
  void ask_again(const PendingRef& pending);
  void answer(const PendingRef& pending, const RightsAnswer& answer);
  void note_given_up();
  void watch();
  postgres::Task<void> give_up_late();

  postgres::Pool& pool_;
  const PolicyChecksConfig config_;
  const Clock& clock_;
  Random& random_;
  RecentFailures& given_up_;
  PolicyCounters& counters_;
  CheckTimes& times_;
  const std::function<void()> on_too_many_;
  std::function<void()> on_quiet_;

  std::deque<PendingRef> again_;                        // have been asked once; go first
  std::deque<PendingRef> waiting_;                      // in the order in which they came
  std::unordered_map<std::string, PendingRef> unsent_;  // the same by what is asked
  std::size_t unanswered_ = 0;
  std::size_t bytes_ = 0;
  std::size_t workers_ = 0;  // each has at most one transaction under way
  std::size_t batch_max_ = ProbeBatch::kQuestionsMax;
  bool policies_see_probes_ = false;
  KnownExpressions expressions_;
  bool is_closed_ = false;
  bool is_watched_ = false;
  postgres::Event closed_;
  postgres::TaskGroup group_;
};

}  // namespace rt::database
