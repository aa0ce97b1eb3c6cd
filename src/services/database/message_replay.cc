#include "services/database/message_replay.h"

#include <boost/asio/awaitable.hpp>
#include <string>
#include <utility>

#include "services/database/policy_probes.h"

namespace rt::database {
namespace {

// How often it is looked whether others have given room back: they do so on their own threads.
constexpr std::chrono::milliseconds kRoomInterval{20};
// Of the result besides events and payloads.
constexpr std::size_t kResultBytesBesides = std::size_t{1} << 20;

constexpr const char* kSafePath = "SET LOCAL search_path TO pg_catalog, pg_temp";
// The newest are found by the partial index on (inserted_at, topic), whose condition has to stand here as it was
// written. Rows of one time are in one partition, and there in the order in which they were written. Behind the first
// that is too much nothing is told but that it is there, and only those that are told are brought into text.
constexpr const char* kNewest =
    "WITH newest AS (SELECT id, event, payload, binary_payload, inserted_at, tableoid, ctid FROM realtime.messages "
    "WHERE topic = $1 AND extension = 'broadcast' AND private IS TRUE AND event IS NOT NULL "
    "AND (payload IS NOT NULL OR binary_payload IS NOT NULL) "
    "AND inserted_at >= timestamp '1970-01-01' + $2::bigint * interval '1 millisecond' "
    "AND inserted_at < timezone('UTC', now()) + interval '1 minute' "
    "ORDER BY inserted_at DESC, tableoid DESC, ctid DESC LIMIT $3::bigint), "
    "sized AS (SELECT *, sum(octet_length(event) + coalesce(octet_length(binary_payload), "
    "octet_length(payload::text))) "
    "OVER (ORDER BY inserted_at DESC, tableoid DESC, ctid DESC) <= $4::bigint AS is_told FROM newest) "
    "SELECT CASE WHEN is_told THEN id::text END, CASE WHEN is_told THEN event END, "
    "CASE WHEN is_told AND binary_payload IS NULL THEN payload::text END, "
    "CASE WHEN is_told THEN encode(binary_payload, 'hex') END "
    "FROM sized ORDER BY inserted_at, tableoid, ctid";

postgres::Batch batch_of(const ReplayQuestion& question, std::chrono::milliseconds timeout) {
  postgres::Batch batch;
  // Parsed inside of the batch, where the path is safe and the time-out holds.
  batch.statements = {{.sql = kSafePath, .plan = postgres::Plan::kOnce},
                      {.sql = kNewest,
                       .parameters = {question.topic, std::to_string(question.since), std::to_string(question.limit),
                                      std::to_string(question.bytes_max)},
                       .plan = postgres::Plan::kOnce}};
  batch.ends = postgres::Ends::kRolledBack;
  batch.statement_timeout = timeout;
  batch.limits.bytes = 2 * question.bytes_max + kResultBytesBesides;  // bytes come as two digits each
  return batch;
}

std::string bytes_of_hex(std::string_view hex) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(value(hex[i]) << 4 | value(hex[i + 1])));
  return bytes;
}

Replay replay_of(const postgres::Rows& rows) {
  Replay out;
  out.messages.reserve(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto id = rows.text(row, 0);
    if (!id) {
      ++out.left_out;
      continue;
    }
    StoredMessage& message = out.messages.emplace_back();
    message.id = *id;
    message.event = rows.text(row, 1).value_or("");
    if (const auto hex = rows.text(row, 3)) {
      message.kind = StoredBroadcast::Kind::kBinary;
      message.payload = bytes_of_hex(*hex);
    } else {
      message.payload = rows.text(row, 2).value_or("null");
    }
  }
  return out;
}

std::size_t bytes_of(const Replay& replay) {
  std::size_t bytes = 0;
  for (const StoredMessage& message : replay.messages)
    bytes += sizeof message + message.id.size() + message.event.size() + message.payload.size();
  return bytes;
}

std::size_t bytes_of(const ReplayQuestion& question) { return sizeof question + question.topic.size(); }

tl::unexpected<RightsFault> refusal(RightsFaultKind kind, std::string text) {
  return tl::make_unexpected(RightsFault{kind, std::move(text)});
}

}  // namespace

MessageReplay::MessageReplay(boost::asio::io_context& io, postgres::Pool& pool, const MessageReplayConfig& config,
                             std::shared_ptr<ReplayRoom> room, const Clock& clock, ReplayCounters& counters,
                             ReplayTimes& times, std::function<bool()> has_turn)
    : io_(io),
      pool_(pool),
      config_(config),
      room_(std::move(room)),
      clock_(clock),
      counters_(counters),
      times_(times),
      has_turn_(std::move(has_turn)),
      closed_(io),
      group_(io) {}

MessageReplay::~MessageReplay() = default;

void MessageReplay::ask(ReplayQuestion question, AnswerReplay answer) {
  if (is_closed_) return answer(refusal(RightsFaultKind::kUnavailable, "the connection was closed"));
  const std::size_t bytes = bytes_of(question);
  if (waiting_.size() >= config_.waiting_max || waiting_bytes_ + bytes > config_.waiting_bytes_max) {
    counters_.refused.add();
    return answer(refusal(RightsFaultKind::kPoolExhausted,
                          std::to_string(waiting_.size()) + " wait for a replay already: raise db_pool"));
  }
  waiting_bytes_ += bytes;
  waiting_.push_back({std::move(question), std::move(answer), clock_.now()});
  serve();
  if (!waiting_.empty() && !std::exchange(is_watched_, true)) group_.spawn(give_up_late());
}

void MessageReplay::serve() {
  for (std::size_t more = waiting_.size(); more > 0 && running_ < config_.queries_max && may_begin(); --more) {
    ++running_;
    group_.spawn(work());
  }
}

MessageReplay::Waiting MessageReplay::take_first() {
  Waiting first = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= bytes_of(first.question);
  return first;
}

postgres::Task<void> MessageReplay::work() {
  while (may_begin()) {
    const Waiting next = take_first();
    ReplayAnswer answer = co_await replay(next.question, next.since);
    times_.record(std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - next.since).count());
    next.answer(std::move(answer));
  }
  --running_;
}

postgres::Task<ReplayAnswer> MessageReplay::replay(const ReplayQuestion& question, Time since) {
  std::shared_ptr<ReplayRoom::Taken> room = room_->take(question.bytes_max);
  while (!room) {
    if (clock_.now() - since >= config_.queue_target)
      co_return refusal(RightsFaultKind::kPoolExhausted, "too much is being replayed at the moment");
    postgres::Event pause(io_);
    co_await pause.wait_until(clock_.now() + kRoomInterval);
    if (is_closed_) co_return refusal(RightsFaultKind::kUnavailable, "the connection was closed");
    room = room_->take(question.bytes_max);
  }
  const auto reply = co_await pool_.run(batch_of(question, config_.timeout));
  if (!reply) co_return tl::make_unexpected(fault_of(reply.error()));
  Replay out = replay_of(reply->back());
  room->shrink_to(bytes_of(out));
  out.room = std::move(room);
  co_return out;
}

// One timer, for the one that has waited longest.
postgres::Task<void> MessageReplay::give_up_late() {
  while (!is_closed_ && !waiting_.empty()) {
    const Time due = waiting_.front().since + config_.queue_target;
    if (clock_.now() < due) {
      co_await closed_.wait_until(due);
      continue;
    }
    counters_.given_up.add();
    take_first().answer(
        refusal(RightsFaultKind::kPoolExhausted, "waited " + std::to_string(config_.queue_target.count()) +
                                                     " ms behind the questions to the policies: raise db_pool"));
  }
  is_watched_ = false;
}

void MessageReplay::close() {
  is_closed_ = true;
  closed_.set();
  while (!waiting_.empty()) take_first().answer(refusal(RightsFaultKind::kUnavailable, "the connection was closed"));
}

postgres::Task<void> MessageReplay::drained() { return group_.drained(); }

}  // namespace rt::database
