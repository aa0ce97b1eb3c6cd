#include "services/database/message_feed.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/check.h"
#include "domain/messages/message_row.h"
#include "protocol/pgoutput/lsn_text.h"
#include "protocol/pgoutput/stream.h"
#include "services/database/publication.h"

namespace rt::database {
namespace {

using postgres::PgError;
using postgres::ReplicationConnection;
using Go = ReplicationConnection::Go;

constexpr std::string_view kTimedOut = "ReplicationConnectionTimeout";
constexpr std::string_view kCrowded = "ReplicationMaxWalSendersReached";

// How soon the server is told that something was delivered.
constexpr std::chrono::milliseconds kConfirmInterval{500};
// A stream that lasted for so long was a good one: the next is not held back for what was before.
constexpr std::chrono::seconds kGoodStream{60};
constexpr std::chrono::seconds kSkipLogInterval{1};
// A server that is being stopped asks again as soon as it is answered, until we have confirmed all.
constexpr std::chrono::milliseconds kAnswerInterval{100};
constexpr std::size_t kForeignTablesMax = 100;  // that are remembered, so that each is named once

bool is_crowded(const PgError& error) { return error.sqlstate == "53300" || error.sqlstate == "53400"; }

std::int64_t millis_between(std::int64_t earlier_micros, std::int64_t later_micros) {
  return std::max<std::int64_t>(0, (later_micros - earlier_micros) / 1'000);
}

}  // namespace

// Who says that there is room may do so when the feed is gone, on another thread.
struct MessageFeed::Room {
  explicit Room(boost::asio::io_context& io) : told(io) {}
  postgres::Event told;
};

MessageFeed::MessageFeed(const Parts& parts, std::string tenant, TenantSettings settings,
                         std::shared_ptr<FeedMemory> memory, std::atomic<bool>& is_streaming, MessageTimes& times)
    : parts_(parts),
      tenant_(std::move(tenant)),
      settings_(std::move(settings)),
      memory_(std::move(memory)),
      is_streaming_(is_streaming),
      times_(times),
      began_(parts.clock.now()),
      stopped_(parts.surroundings.io),
      confirmations_(parts.config.resume_window),
      room_(std::make_shared<Room>(parts.surroundings.io)),
      group_(parts.surroundings.io) {
  group_.spawn(run());
}

MessageFeed::~MessageFeed() { RT_CHECK(is_stopping_ && group_.size() == 0); }

postgres::Task<void> MessageFeed::stop(Slot slot, std::shared_ptr<postgres::Cancellation> cancellation) {
  RT_CHECK(!is_stopping_);
  is_stopping_ = true;
  stopped_.set();
  room_->told.set();
  cancellation_->cancel();
  if (connection_) connection_->close();
  co_await group_.drained();
  if (slot == Slot::kStays || memory_->durable_slot.empty()) co_return;
  const std::string name = std::exchange(memory_->durable_slot, {});
  const auto dropped = co_await drop_slots(parts_.surroundings, settings_.connection, name, std::move(cancellation));
  if (!dropped)
    log(LogLevel::kError, "DropReplicationSlotFailed", "the slot " + name + " stays: " + dropped.error().message);
}

postgres::Task<void> MessageFeed::run() {
  postgres::Backoff backoff(parts_.config.retry, parts_.random);
  while (!is_stopping_) {
    const Time began = parts_.clock.now();
    End end = co_await stream();
    set_streaming(false);
    connection_.reset();
    if (is_stopping_) co_return;
    log(end.code == kDown ? LogLevel::kWarning : LogLevel::kError, end.code, end.text);
    if (end.is_crowded) {
      end = co_await poll();
      set_streaming(false);
      if (is_stopping_) co_return;
      if (end.code.empty()) continue;  // perhaps there is room now
      log(LogLevel::kError, end.code, end.text);
    }
    if (parts_.clock.now() - began >= kGoodStream) backoff.succeeded();
    backoff.failed(parts_.clock.now());
    co_await stopped_.wait_until(backoff.not_before());
  }
}

// --- From a connection to a stream

postgres::ConnectionSettings MessageFeed::session_settings() const {
  postgres::ConnectionSettings how = settings_.connection;
  how.application_name = "realtime_replication_connection";
  how.statement_timeout = parts_.config.query_timeout;
  how.lock_timeout = parts_.config.query_timeout;  // a new slot waits for all who write, by their locks
  how.search_path = "pg_catalog";
  return how;
}

postgres::Task<MessageFeed::End> MessageFeed::stream() {
  auto opened = co_await ReplicationConnection::open(parts_.surroundings, session_settings(), cancellation_);
  if (!opened) co_return failed(opened.error(), kNotStarted);
  connection_ = *std::move(opened);
  if (is_stopping_) co_return End{};
  const Query query = [this](std::string sql) { return connection_->query(std::move(sql), query_deadline()); };
  if (auto end = co_await look_around(query)) co_return *std::move(end);
  if (auto end = co_await prepare_slot(query, Way::kStream)) co_return *std::move(end);
  const auto started = co_await connection_->start("START_REPLICATION SLOT \"" + slot_ +
                                                       "\" LOGICAL 0/0 (proto_version '1', publication_names '" +
                                                       std::string(kMessagesPublication) + "')",
                                                   query_deadline());
  if (!started) co_return failed(started.error(), kNotStarted);
  parts_.counters.started.add();
  begin_reading();
  End end = co_await follow();
  transaction_.reset();
  co_return end;
}

// What has to be known and in place first, whichever way messages come.
postgres::Task<std::optional<MessageFeed::End>> MessageFeed::look_around(Query query) {
  const auto facts = co_await look_at_replication(query);
  if (!facts) co_return failed(facts.error(), kNotStarted);
  facts_ = *facts;
  if (memory_->last_inserted_at.empty()) memory_->last_inserted_at = facts->now;
  is_durable_ = database::is_durable(slot_mode(), facts_);
  const auto publication = co_await keep_publication(query);
  if (!publication) co_return failed(publication.error(), kNotStarted);
  if (*publication == PublicationUpkeep::kMadeAgain) {
    log(LogLevel::kWarning, "",
        std::string(kMessagesPublication) + " was not what it should be (realtime.messages alone), and was made again");
  }
  co_return std::nullopt;
}

void MessageFeed::begin_reading() {
  rows_ = std::make_unique<messages::MessageStream>();
  confirmations_ = messages::Confirmations(parts_.config.resume_window);
  transaction_.reset();
  fault_.reset();
  confirmed_ = received_ = server_end_ = {};
  lag_before_ = 0;
  polled_until_.clear();
  // Positions of another slot say nothing about this one: it may be behind.
  if (std::exchange(memory_->slot, slot_) != slot_) memory_->delivered_until = {};
  set_streaming(true);
}

// What holds for the rows that follow.
void MessageFeed::learn_limits() {
  const auto record = parts_.find(tenant_);
  body_bytes_max_ = messages::body_bytes_max(record ? record->limits.payload_kb_max : 0);
}

// --- The stream

postgres::Task<MessageFeed::End> MessageFeed::follow() {
  heard_at_ = parts_.clock.now();
  status_due_ = heard_at_;
  while (true) {
    const Time now = parts_.clock.now();
    confirm(now, false);
    if (fault_) co_return *std::move(fault_);
    const Time next = confirmations_.is_all_delivered() ? status_due_ : std::min(status_due_, now + kConfirmInterval);
    const auto received = co_await connection_->receive(next, [this](std::string_view bytes) { return take(bytes); });
    if (fault_) co_return *std::move(fault_);
    if (!received) {
      // The publication was not there for some time that is still to be decoded: undefined_object, or from Postgres 18
      // on a warning (object_not_in_prerequisite_state).
      if (received.error().sqlstate == "42704" || received.error().sqlstate == "55000") slot_has_to_go_ = true;
      co_return failed(received.error(), kDown);
    }
    if (*received > 0) heard_at_ = parts_.clock.now();
    if (auto end = overdue(parts_.clock.now())) co_return *std::move(end);
    co_await wait_for_room();
  }
}

std::optional<MessageFeed::End> MessageFeed::overdue(Time now) {
  if (now - heard_at_ > parts_.config.silence_max)
    return End{"ReplicationConnectionWatchdogTimeout", "the server gave no sign of life: the stream is begun anew"};
  return std::nullopt;
}

// Nothing is dropped in front of the workers: the stream waits for them.
postgres::Task<void> MessageFeed::wait_for_room() {
  while (!is_stopping_ && !parts_.sink.may_publish()) {
    room_->told.clear();
    parts_.sink.when_may_publish([room = std::weak_ptr(room_), &io = parts_.surroundings.io] {
      boost::asio::post(io, [room] {
        if (const auto there = room.lock()) there->told.set();
      });
    });
    co_await room_->told.wait_until(parts_.clock.now() + parts_.config.status_interval);
    if (!connection_ || !is_streaming_) continue;
    heard_at_ = parts_.clock.now();  // it is us who do not listen
    confirm(parts_.clock.now(), false);
  }
}

Go MessageFeed::take(std::string_view bytes) {
  const auto message = pgoutput::parse_stream_message(bytes);
  if (!message) {
    fault_ = End{"UnexpectedMessageReceived", message.error().message + ": the stream is begun anew"};
    return Go::kNotYet;
  }
  if (const auto* keepalive = std::get_if<pgoutput::Keepalive>(&*message)) {
    server_end_ = std::max(server_end_, keepalive->server_end);
    received_ = std::max(received_, keepalive->server_end);
    if (!transaction_) confirmations_.nothing_until(keepalive->server_end);
    confirm(parts_.clock.now(), keepalive->wants_reply);
    return Go::kOn;
  }
  const auto& data = std::get<pgoutput::WalData>(*message);
  server_end_ = std::max(server_end_, data.server_end);
  if (!take_event(data.data)) return Go::kNotYet;
  return parts_.sink.may_publish() ? Go::kOn : Go::kNotYet;
}

// False: there is a fault.
bool MessageFeed::take_event(std::string_view bytes) {
  const auto event = rows_->take(bytes);
  if (!event) {
    fault_ = End{"UnexpectedMessageReceived", event.error().message + ": the stream is begun anew"};
    return false;
  }
  if (const auto* began = std::get_if<messages::Began>(&*event)) {
    transaction_ = *began;
    rows_of_transaction_ = 0;
    is_repeated_ = began->commit < memory_->delivered_until;
    learn_limits();
  } else if (const auto* ended = std::get_if<messages::Ended>(&*event)) {
    transaction_.reset();
    memory_->delivered_until = std::max(memory_->delivered_until, ended->end);
    received_ = std::max(received_, ended->end);
    confirmations_.ended(ended->end, parts_.clock.now());
  } else if (const auto* inserted = std::get_if<messages::Inserted>(&*event)) {
    if (is_next_row()) take_row(inserted->row);
  } else if (const auto* foreign = std::get_if<messages::Foreign>(&*event)) {
    note_foreign(*foreign);
  }
  return true;
}

// False: it was told before the last stream ended within this transaction, or with all of it.
bool MessageFeed::is_next_row() {
  ++rows_of_transaction_;
  if (is_repeated_) return false;
  const Lsn commit = transaction_ ? transaction_->commit : Lsn{};
  if (std::exchange(memory_->half_told, commit) != commit) memory_->rows_told = 0;
  if (rows_of_transaction_ <= memory_->rows_told) return false;
  memory_->rows_told = rows_of_transaction_;
  return true;
}

void MessageFeed::note_foreign(const messages::Foreign& foreign) {
  const std::string name = foreign.schema + "." + foreign.table;
  if (foreign_tables_.size() >= kForeignTablesMax || !foreign_tables_.insert(name).second) return;
  log(LogLevel::kWarning, "",
      "Unexpected relation on schema '" + foreign.schema + "' and table '" + foreign.table +
          "': " + std::string(kMessagesPublication) + " is for realtime.messages alone, rows of others are left out");
}

void MessageFeed::take_row(const messages::RowTexts& texts) {
  auto row = messages::read_row(texts, body_bytes_max_);
  if (!row) return skip(row.error().reason);
  if (!memory_->recent.add(row->id)) return;
  const auto inserted = messages::micros_of(row->inserted_at);
  if (inserted) memory_->last_inserted_at = std::max(memory_->last_inserted_at, row->inserted_at);
  if (parts_.sink.events_are_over_limit(tenant_)) return skip(messages::kTooManyRequests);
  const std::int64_t now = micros_now();
  if (transaction_) times_.since_commit.record(millis_between(transaction_->committed_micros, now));
  if (inserted) times_.since_insert.record(millis_between(*inserted, now));
  parts_.counters.published.add();
  if (is_from_table_) parts_.counters.recovered.add();
  parts_.sink.publish({.tenant = tenant_,
                       .topic = std::move(row->topic),
                       .privacy = row->is_private ? Privacy::kPrivate : Privacy::kPublic,
                       .event = std::move(row->event),
                       .kind = row->is_binary ? StoredBroadcast::Kind::kBinary : StoredBroadcast::Kind::kJson,
                       .payload = std::move(row->body),
                       .id = std::move(row->id),
                       .joined_before = is_from_table_ ? memory_->lost_at : std::nullopt,
                       .receipt = is_from_table_ ? nullptr : confirmations_.receipt(parts_.clock.now())});
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

// The server hears from us when something has changed, when it asks, and from time to time, which it answers.
void MessageFeed::confirm(Time now, bool is_asked) {
  const Lsn delivered = confirmations_.confirmed(now);
  // A temporary slot gives nothing again, so there is nothing to keep it for.
  const Lsn confirmed = is_durable_ ? delivered : std::max(delivered, received_);
  const bool is_due = now >= status_due_;
  if (!is_due && confirmed == confirmed_) {
    if (is_asked) status_due_ = std::min(status_due_, std::max(now, answered_at_ + kAnswerInterval));
    return;
  }
  confirmed_ = confirmed;
  answered_at_ = now;
  connection_->send(pgoutput::make_status_update(std::max(received_, confirmed), confirmed, micros_now(),
                                                 is_due ? pgoutput::Reply::kWanted : pgoutput::Reply::kNotNeeded));
  if (!is_due) return;
  status_due_ = now + parts_.config.status_interval;
  // What waits to be delivered is bounded elsewhere; what the slot keeps meanwhile is bounded here.
  const std::uint64_t lag = server_end_.value - std::min(server_end_.value, confirmed.value);
  const bool is_growing = lag > std::exchange(lag_before_, lag);
  if (!facts_.slot_bytes_max || !is_growing || lag <= *facts_.slot_bytes_max / 2) return;
  slot_has_to_go_ = true;
  fault_ = End{"ReplicationSlotLagTooHigh",
               "the slot " + slot_ + " keeps " + std::to_string(lag >> 20) +
                   " MB, more than half of max_slot_wal_keep_size, and it grows: it is replaced, and what is newest is "
                   "read from the table"};
}

// Since 2000-01-01, as Postgres counts.
std::int64_t MessageFeed::micros_now() const {
  return std::chrono::duration_cast<std::chrono::microseconds>(parts_.clock.wall().time_since_epoch()).count() -
         pgoutput::kPostgresEpochSeconds * 1'000'000;
}

void MessageFeed::set_streaming(bool is_streaming) {
  if (is_streaming_.exchange(is_streaming) == is_streaming) return;
  if (is_streaming) {
    parts_.counters.streaming.add();
    memory_->lost_at.reset();
  } else {
    parts_.counters.streaming.subtract();
    parts_.counters.lost.add();
    memory_->lost_at = parts_.clock.now();
  }
}

MessageFeed::End MessageFeed::failed(const PgError& error, std::string_view code) const {
  if (is_crowded(error)) {
    return {kCrowded,
            error.message + ": raise max_wal_senders and max_replication_slots; meanwhile messages are asked for",
            true};
  }
  const std::string state = error.sqlstate.empty() ? "" : " (" + error.sqlstate + ")";
  if (code == kDown) return {code, "the stream of messages ended: " + error.message + state, false};
  if (error.kind == postgres::ErrorClass::kTimeOut) return {kTimedOut, error.message, false};
  return {code, "Error starting replication: " + error.message + state, false};
}

void MessageFeed::log(LogLevel level, std::string_view code, const std::string& text) const {
  const bool has_code = code.empty() || text.starts_with(code);
  parts_.log.write(level, {.tenant = tenant_, .error_code = code}, has_code ? text : std::string(code) + ": " + text);
}

}  // namespace rt::database
