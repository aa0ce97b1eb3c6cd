#include "services/database/policy_checks.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace rt::database {
namespace {

using postgres::ErrorClass;

// All that decides the answer, each part with its length in front.
std::string key_of(const RightsQuestion& question) {
  const AskedRights& asked = question.asked;
  std::string key;
  for (const bool flag : {asked.broadcast_read, asked.broadcast_write, asked.presence_read, asked.presence_write})
    key += flag ? '1' : '0';
  const std::string_view headers = question.headers ? std::string_view(*question.headers) : std::string_view();
  for (const std::string_view part :
       {std::string_view(question.topic), std::string_view(question.claims.json), headers})
    key.append(std::to_string(part.size())).append(":").append(part);
  return key;
}

constexpr std::string_view kClosed = "the connection was closed";

// By expressions, which somebody changes all the time if these are not enough.
constexpr int kAttemptsMax = 3;

std::vector<const RightsQuestion*> questions_of(const auto& batch) {
  std::vector<const RightsQuestion*> out;
  for (const auto& pending : batch) out.push_back(&pending->question);
  return out;
}

RightsFault pool_exhausted(std::string text) { return {RightsFaultKind::kPoolExhausted, std::move(text)}; }

}  // namespace

PolicyChecks::PolicyChecks(boost::asio::io_context& io, postgres::Pool& pool, PolicyChecksConfig config,
                           const Clock& clock, Random& random, RecentFailures& given_up, PolicyCounters& counters,
                           CheckTimes& times, std::function<void()> on_too_many)
    : pool_(pool),
      config_(std::move(config)),
      clock_(clock),
      random_(random),
      given_up_(given_up),
      counters_(counters),
      times_(times),
      on_too_many_(std::move(on_too_many)),
      closed_(io),
      group_(io) {}

PolicyChecks::~PolicyChecks() = default;

void PolicyChecks::ask(RightsQuestion question, Answer answer) {
  counters_.questions.add();
  if (is_closed_) return answer(tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, std::string(kClosed)}));
  if (auto fault = refused_unasked(question, config_.superuser)) return answer(tl::make_unexpected(*std::move(fault)));
  if (given_up_.is_open(clock_.now())) {
    counters_.refused.add();
    return answer(tl::make_unexpected(pool_exhausted("too many questions waited in vain lately: raise db_pool")));
  }
  std::string key = key_of(question);
  const bool reads = question.asked.broadcast_read || question.asked.presence_read;
  if (const auto same = unsent_.find(key); same != unsent_.end()) {
    if (same->second->answers.size() >= config_.sharing_max) {
      counters_.refused.add();
      return answer(tl::make_unexpected(pool_exhausted("too many wait for the same answer already: try again")));
    }
    counters_.shared.add();
    same->second->answers.push_back(std::move(answer));
    return;
  }
  const std::size_t bytes = 2 * key.size() + bytes_of(question);
  if (waiting_.size() >= config_.waiting_max || bytes_ + bytes > config_.bytes_max) {
    counters_.refused.add();
    return answer(tl::make_unexpected(pool_exhausted(std::to_string(waiting_.size()) + " questions wait already")));
  }
  const Time now = clock_.now();
  auto pending = std::make_shared<Pending>(Pending{.key = key,
                                                   .question = std::move(question),
                                                   .answers = {},
                                                   .since = now,
                                                   .due = now + config_.queue_target,
                                                   .bytes = bytes,
                                                   .reads = reads,
                                                   .by_probes = config_.method == PolicyMethod::kProbes});
  bytes_ += bytes;
  pending->answers.push_back(std::move(answer));
  unsent_.emplace(std::move(key), pending);
  ++unanswered_;
  waiting_.push_back(std::move(pending));
  serve();
}

void PolicyChecks::serve() {
  if (workers_ == config_.batches_max) return watch();
  ++workers_;
  group_.spawn(work());
}

postgres::Task<void> PolicyChecks::work() {
  // What else comes in this turn of the loop goes along.
  co_await boost::asio::post(co_await boost::asio::this_coro::executor, boost::asio::use_awaitable);
  while (!is_closed_ && has_waiting()) {
    auto batch = next_batch();
    watch();
    co_await run(std::move(batch));
  }
  --workers_;
  if (on_quiet_ && !has_waiting()) on_quiet_();
}

std::vector<PolicyChecks::PendingRef> PolicyChecks::next_batch() {
  std::deque<PendingRef>& queue = again_.empty() ? waiting_ : again_;
  const auto by_probes = [this](Pending& pending) {
    pending.by_probes = pending.by_probes || !expressions_.is_worth_asking(pending.question.claims.role, clock_.now());
    return pending.by_probes;
  };
  const bool are_probes = by_probes(*queue.front());
  const std::size_t most = are_probes && (policies_see_probes_ || queue.front()->is_alone) ? 1 : batch_max_;
  std::vector<PendingRef> batch;
  std::size_t bytes = 0;
  while (!queue.empty() && batch.size() < most && (batch.empty() || !queue.front()->is_alone) &&
         by_probes(*queue.front()) == are_probes) {
    bytes += queue.front()->bytes;
    if (!batch.empty() && bytes > ProbeBatch::kBytesMax) break;
    // Who asks the same from now on may do so after a policy was changed, and after the database has looked at it. So
    // what is sent is shared no more.
    if (&queue == &waiting_) unsent_.erase(queue.front()->key);
    batch.push_back(std::move(queue.front()));
    queue.pop_front();
  }
  return batch;
}

postgres::Task<void> PolicyChecks::run(std::vector<PendingRef> batch) {
  counters_.transactions.add();
  if (batch.front()->by_probes) {
    co_await run_probes(std::move(batch));
  } else {
    co_await run_expressions(std::move(batch));
  }
  watch();
}

// nullopt: there was no connection for it in time, and all have been told so.
postgres::Task<std::optional<postgres::SectionsReply>> PolicyChecks::send(postgres::Batch statements,
                                                                          const std::vector<PendingRef>& whose) {
  const Time began = clock_.now();
  auto reply = co_await pool_.run_sections(std::move(statements));
  if (!reply && reply.error().kind == ErrorClass::kNoConnection && pool_.open_connections() > 0) {
    // All of them are busy with something else.
    for (const PendingRef& pending : whose) {
      note_given_up();
      answer(pending, tl::make_unexpected(pool_exhausted(reply.error().message)));
    }
    co_return std::nullopt;
  }
  if (reply) adapt(clock_.now() - began);
  co_return reply;
}

postgres::Task<void> PolicyChecks::run_probes(std::vector<PendingRef> batch) {
  using SeesProbes = ProbeBatch::SeesProbes;
  const auto questions = questions_of(batch);
  ProbeBatch probes(questions, clock_.wall(), random_,
                    policies_see_probes_ ? SeesProbes::kLook : SeesProbes::kDoNotLook);
  const auto reply = co_await send(probes.take(), batch);
  if (!reply) co_return;
  const ProbeAnswers answers = probes.read(*reply);
  if (*reply && (batch.size() > 1 || policies_see_probes_)) policies_see_probes_ = answers.policies_see_probes;
  for (std::size_t i = 0; i < batch.size(); ++i) take_over(batch[i], answers.answers[i]);
}

postgres::Task<void> PolicyChecks::run_expressions(std::vector<PendingRef> batch) {
  const auto questions = questions_of(batch);
  ExpressionBatch expressions(questions, clock_.wall(), expressions_);
  const auto reply = co_await send(expressions.take(), batch);
  if (!reply) co_return;
  const auto answers = expressions.read(*reply, expressions_);
  for (std::size_t i = 0; i < batch.size(); ++i) take_over(batch[i], answers[i]);
}

void PolicyChecks::adapt(Duration took) {
  constexpr std::chrono::milliseconds kLong{500};
  constexpr std::chrono::milliseconds kShort{100};
  if (took > kLong) batch_max_ = std::max<std::size_t>(1, batch_max_ / 2);
  if (took < kShort) batch_max_ = std::min(ProbeBatch::kQuestionsMax, batch_max_ * 2);
}

void PolicyChecks::take_over(const PendingRef& pending, const ProbeAnswer& said) {
  const auto join = [](std::optional<bool> known, std::optional<bool> now) { return now ? now : known; };
  if (said.answer && !said.has_to_be_alone) {
    pending->known = {.broadcast_read = join(pending->known.broadcast_read, said.answer->broadcast_read),
                      .broadcast_write = join(pending->known.broadcast_write, said.answer->broadcast_write),
                      .presence_read = join(pending->known.presence_read, said.answer->presence_read),
                      .presence_write = join(pending->known.presence_write, said.answer->presence_write)};
  }
  if (said.is_complete()) return answer(pending, said.answer ? RightsAnswer(pending->known) : said.answer);
  if (said.has_to_be_alone) {
    pending->is_alone = true;
    counters_.again_alone.add();
  } else {
    pending->question.asked = said.remains;
  }
  ask_again(pending);
}

void PolicyChecks::take_over(const PendingRef& pending, const ExpressionAnswer& said) {
  using What = ExpressionAnswer::What;
  if (said.what == What::kAnswer) {
    if (said.answer) counters_.by_expressions.add();
    return answer(pending, said.answer);
  }
  if (said.is_unsure) expressions_.note_unsure(pending->question.claims.role, clock_.now());
  pending->by_probes = said.what == What::kByProbes || ++pending->attempts >= kAttemptsMax;
  ask_again(pending);
}

void PolicyChecks::ask_again(const PendingRef& pending) {
  if (is_closed_)
    return answer(pending, tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, std::string(kClosed)}));
  pending->due = clock_.now() + config_.queue_target;
  again_.push_back(pending);
}

void PolicyChecks::answer(const PendingRef& pending, const RightsAnswer& said) {
  --unanswered_;
  bytes_ -= pending->bytes;
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - pending->since).count();
  (pending->reads ? times_.reading : times_.writing).record(took);
  for (const Answer& one : std::exchange(pending->answers, {})) one(said);
}

void PolicyChecks::note_given_up() {
  counters_.given_up.add();
  if (given_up_.record(clock_.now()) && on_too_many_) on_too_many_();
}

// One timer, for the one whose turn has to come first.
void PolicyChecks::watch() {
  if (is_closed_ || !has_waiting() || std::exchange(is_watched_, true)) return;
  group_.spawn(give_up_late());
}

postgres::Task<void> PolicyChecks::give_up_late() {
  while (!is_closed_ && has_waiting()) {
    const bool is_of_again = waiting_.empty() || (!again_.empty() && again_.front()->due < waiting_.front()->due);
    std::deque<PendingRef>& queue = is_of_again ? again_ : waiting_;
    const PendingRef first = queue.front();
    if (clock_.now() < first->due) {
      co_await closed_.wait_until(first->due);
      continue;
    }
    queue.pop_front();
    if (!is_of_again) unsent_.erase(first->key);
    note_given_up();
    answer(first, tl::make_unexpected(pool_exhausted("waited " + std::to_string(config_.queue_target.count()) +
                                                     " ms for a connection")));
  }
  is_watched_ = false;
}

void PolicyChecks::close() {
  is_closed_ = true;
  closed_.set();
  unsent_.clear();
  for (auto* queue : {&again_, &waiting_}) {
    for (const PendingRef& pending : std::exchange(*queue, {}))
      answer(pending, tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, std::string(kClosed)}));
  }
}

postgres::Task<void> PolicyChecks::drained() { return group_.drained(); }

}  // namespace rt::database
