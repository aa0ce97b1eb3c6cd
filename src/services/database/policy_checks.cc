#include "services/database/policy_checks.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
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
  if (const auto same = pending_.find(key); same != pending_.end()) {
    counters_.shared.add();
    same->second->answers.push_back(std::move(answer));
    return;
  }
  if (waiting_.size() >= config_.waiting_max) {
    counters_.refused.add();
    return answer(tl::make_unexpected(pool_exhausted(std::to_string(waiting_.size()) + " questions wait already")));
  }
  auto pending = std::make_shared<Pending>(
      Pending{.key = key, .question = std::move(question), .answers = {}, .since = clock_.now(), .reads = reads});
  pending->answers.push_back(std::move(answer));
  pending_.emplace(std::move(key), pending);
  waiting_.push_back(std::move(pending));
  serve();
}

void PolicyChecks::serve() {
  while (!is_closed_ && under_way_ < config_.batches_max && !(again_.empty() && waiting_.empty())) {
    ++under_way_;
    group_.spawn(run(next_batch()));
  }
  watch();
}

std::vector<PolicyChecks::PendingRef> PolicyChecks::next_batch() {
  std::deque<PendingRef>& queue = again_.empty() ? waiting_ : again_;
  const std::size_t most = policies_see_probes_ || queue.front()->is_alone ? 1 : batch_max_;
  std::vector<PendingRef> batch;
  while (!queue.empty() && batch.size() < most && (batch.empty() || !queue.front()->is_alone)) {
    batch.push_back(std::move(queue.front()));
    queue.pop_front();
  }
  return batch;
}

postgres::Task<void> PolicyChecks::run(std::vector<PendingRef> batch) {
  std::vector<const RightsQuestion*> questions;
  for (const PendingRef& pending : batch) questions.push_back(&pending->question);
  ProbeBatch probes(questions, clock_.wall(), random_);
  counters_.transactions.add();
  const auto reply = co_await pool_.run_sections(probes.take());
  --under_way_;
  if (!reply && reply.error().kind == ErrorClass::kNoConnection && pool_.last_failure().message.empty()) {
    // There are connections, and all are busy with something else.
    for (const PendingRef& pending : batch) {
      note_given_up();
      answer(pending, tl::make_unexpected(pool_exhausted(reply.error().message)));
    }
  } else {
    const ProbeAnswers answers = probes.read(reply);
    if (reply) adapt(answers);
    for (std::size_t i = 0; i < batch.size(); ++i) take_over(batch[i], answers.answers[i]);
  }
  serve();
}

// Where policies are slow, fewer share a transaction, so that fewer wait for each.
void PolicyChecks::adapt(const ProbeAnswers& answers) {
  policies_see_probes_ = answers.policies_see_probes;
  batch_max_ =
      answers.was_slow ? std::max<std::size_t>(1, batch_max_ / 2) : std::min(ProbeBatch::kQuestionsMax, batch_max_ * 2);
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
  if (is_closed_)
    return answer(pending, tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, std::string(kClosed)}));
  if (said.has_to_be_alone) {
    pending->is_alone = true;
    counters_.again_alone.add();
  } else {
    pending->question.asked = said.remains;
  }
  again_.push_back(pending);
}

void PolicyChecks::answer(const PendingRef& pending, const RightsAnswer& said) {
  pending_.erase(pending->key);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - pending->since).count();
  (pending->reads ? times_.reading : times_.writing).record(took);
  for (const Answer& one : std::exchange(pending->answers, {})) one(said);
}

void PolicyChecks::note_given_up() {
  counters_.given_up.add();
  if (given_up_.record(clock_.now()) && on_too_many_) on_too_many_();
}

// One timer, for the one that has waited longest.
void PolicyChecks::watch() {
  if (is_closed_ || waiting_.empty() || std::exchange(is_watched_, true)) return;
  group_.spawn(give_up_late());
}

postgres::Task<void> PolicyChecks::give_up_late() {
  while (!is_closed_ && !waiting_.empty()) {
    const PendingRef oldest = waiting_.front();
    const Time due = oldest->since + config_.queue_target;
    if (clock_.now() < due) {
      co_await closed_.wait_until(due);
      continue;
    }
    waiting_.pop_front();
    note_given_up();
    answer(oldest, tl::make_unexpected(pool_exhausted("waited " + std::to_string(config_.queue_target.count()) +
                                                      " ms for a connection")));
  }
  is_watched_ = false;
}

void PolicyChecks::close() {
  is_closed_ = true;
  closed_.set();
  for (auto* queue : {&again_, &waiting_}) {
    for (const PendingRef& pending : std::exchange(*queue, {}))
      answer(pending, tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, std::string(kClosed)}));
  }
}

postgres::Task<void> PolicyChecks::drained() { return group_.drained(); }

}  // namespace rt::database
