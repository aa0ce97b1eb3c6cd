#include "services/database/message_feed.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/check.h"
#include "domain/messages/message_row.h"
#include "protocol/pgoutput/stream.h"
#include "services/database/publication.h"

namespace rt::database {
namespace {

constexpr std::chrono::seconds kSkipLogInterval{1};
constexpr std::size_t kForeignTablesMax = 100;  // that are remembered, so that each is named once

SlotStreamNames names() {
  return {.slot = std::string(kMessagesSlot),
          .publication = std::string(kMessagesPublication),
          .application = "realtime_replication_connection",
          .what = "messages",
          .not_started = "StartReplicationFailed",
          .down = "ReplicationConnectionDown",
          .timed_out = "ReplicationConnectionTimeout",
          .crowded = "ReplicationMaxWalSendersReached",
          .lag_too_high = "ReplicationSlotLagTooHigh",
          .when_replaced = ", and what is newest is read from the table"};
}

std::int64_t millis_between(std::int64_t earlier_micros, std::int64_t later_micros) {
  return std::max<std::int64_t>(0, (later_micros - earlier_micros) / 1'000);
}

}  // namespace

MessageFeed::MessageFeed(const Parts& parts, std::string tenant, TenantSettings settings,
                         std::shared_ptr<FeedMemory> memory, std::atomic<bool>& is_streaming, MessageTimes& times)
    : parts_(parts),
      tenant_(std::move(tenant)),
      memory_(std::move(memory)),
      is_streaming_(is_streaming),
      times_(times),
      room_(parts.surroundings.io, parts.clock, parts.sink.may_publish, parts.sink.when_may_publish),
      stream_({.surroundings = parts.surroundings,
               .clock = parts.clock,
               .random = parts.random,
               .log = parts.log,
               .config = parts.config,
               .counters = parts.counters},
              tenant_, std::move(settings), names(), memory_, *this) {}

MessageFeed::~MessageFeed() { RT_CHECK(is_stopping_); }

postgres::Task<void> MessageFeed::stop(Slot slot, std::shared_ptr<postgres::Cancellation> cancellation) {
  is_stopping_ = true;
  room_.close();
  co_await stream_.stop(slot, std::move(cancellation));
}

postgres::Task<std::optional<StreamEnd>> MessageFeed::prepare(Query query) {
  if (memory_->last_inserted_at.empty()) {
    const auto now = co_await query("SELECT now() AT TIME ZONE 'utc'");
    if (!now) co_return not_started(names(), now.error());
    memory_->last_inserted_at = now->text(0, 0).value_or("");
  }
  const auto publication = co_await keep_publication(query);
  if (!publication) co_return not_started(names(), publication.error());
  if (*publication == PublicationUpkeep::kMadeAgain) {
    log(LogLevel::kWarning, "",
        std::string(kMessagesPublication) + " was not what it should be (realtime.messages alone), and was made again");
  }
  co_return std::nullopt;
}

void MessageFeed::begin() {
  rows_ = std::make_unique<messages::MessageStream>();
  limits_of_.reset();
}

std::optional<StreamEnd> MessageFeed::take(const Transaction& transaction, std::string_view message) {
  if (std::exchange(limits_of_, transaction.commit) != transaction.commit) learn_limits();
  const auto event = rows_->take(message);
  if (!event) return StreamEnd{"UnexpectedMessageReceived", event.error().message + ": the stream is begun anew"};
  if (const auto* inserted = std::get_if<messages::Inserted>(&*event)) {
    take_row(inserted->row, &transaction);
  } else if (const auto* foreign = std::get_if<messages::Foreign>(&*event)) {
    note_foreign(*foreign);
  }
  return std::nullopt;
}

// Each message was published as it came.
postgres::Task<bool> MessageFeed::work() {
  co_await room_.wait(parts_.config.status_interval);
  co_return true;
}

void MessageFeed::on_streaming(bool is_streaming) {
  is_streaming_ = is_streaming;
  if (is_streaming) {
    memory_->lost_at.reset();
  } else {
    memory_->lost_at = parts_.clock.now();
  }
}

// What holds for the rows that follow.
void MessageFeed::learn_limits() {
  const auto record = parts_.find(tenant_);
  body_bytes_max_ = messages::body_bytes_max(record ? record->limits.payload_kb_max : 0);
}

void MessageFeed::note_foreign(const messages::Foreign& foreign) {
  const std::string name = foreign.schema + "." + foreign.table;
  if (foreign_tables_.size() >= kForeignTablesMax || !foreign_tables_.insert(name).second) return;
  log(LogLevel::kWarning, "",
      "Unexpected relation on schema '" + foreign.schema + "' and table '" + foreign.table +
          "': " + std::string(kMessagesPublication) + " is for realtime.messages alone, rows of others are left out");
}

void MessageFeed::take_row(const messages::RowTexts& texts, const Transaction* transaction) {
  auto row = messages::read_row(texts, body_bytes_max_);
  if (!row) return skip(row.error().reason);
  if (!memory_->recent.add(row->id)) return;
  const auto inserted = messages::micros_of(row->inserted_at);
  if (inserted) memory_->last_inserted_at = std::max(memory_->last_inserted_at, row->inserted_at);
  if (parts_.sink.events_are_over_limit(tenant_)) return skip(messages::kTooManyRequests);
  const std::int64_t now = pgoutput::micros_of(parts_.clock.wall());
  if (transaction != nullptr) times_.since_commit.record(millis_between(transaction->committed_micros, now));
  if (inserted) times_.since_insert.record(millis_between(*inserted, now));
  parts_.counters.published.add();
  if (transaction == nullptr) parts_.counters.recovered.add();
  parts_.sink.publish({.tenant = tenant_,
                       .topic = std::move(row->topic),
                       .privacy = row->is_private ? Privacy::kPrivate : Privacy::kPublic,
                       .event = std::move(row->event),
                       .kind = row->is_binary ? StoredBroadcast::Kind::kBinary : StoredBroadcast::Kind::kJson,
                       .payload = std::move(row->body),
                       .id = std::move(row->id),
                       .joined_before = transaction == nullptr ? memory_->lost_at : std::nullopt,
                       .receipt = transaction == nullptr ? nullptr : stream_.receipt()});
}

// Bulk inserts of rows that cannot be broadcast must not flood the log.
void MessageFeed::skip(std::string_view reason) {
  parts_.counters.skipped.add();
  Skips& skips = skips_[reason];
  ++skips.since;
  const Time now = parts_.clock.now();
  if (skips.logged_at != Time{} && now - skips.logged_at < kSkipLogInterval) return;
  const std::string more = skips.since > 1 ? ", " + std::to_string(skips.since) + " rows since the last line" : "";
  log(LogLevel::kError, "UnableToBroadcastChanges", "UnableToBroadcastChanges: " + std::string(reason) + more);
  skips = {now, 0};
}

void MessageFeed::log(LogLevel level, std::string_view code, const std::string& text) const {
  const bool has_code = code.empty() || text.starts_with(code);
  parts_.log.write(level, {.tenant = tenant_, .error_code = code}, has_code ? text : std::string(code) + ": " + text);
}

}  // namespace rt::database
