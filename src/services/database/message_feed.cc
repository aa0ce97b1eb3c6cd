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
#include "services/database/opening.h"
#include "services/database/publication.h"

namespace rt::database {
namespace {

using postgres::PgError;
using postgres::ReplicationConnection;
using Go = ReplicationConnection::Go;

constexpr std::string_view kNotStarted = "StartReplicationFailed";
constexpr std::string_view kTimedOut = "ReplicationConnectionTimeout";
constexpr std::string_view kCrowded = "ReplicationMaxWalSendersReached";
constexpr std::string_view kDown = "ReplicationConnectionDown";

// How soon the server is told that something was delivered.
constexpr std::chrono::milliseconds kConfirmInterval{500};
// A stream that lasted for so long was a good one: the next is not held back for what was before.
constexpr std::chrono::seconds kGoodStream{60};
constexpr std::chrono::seconds kLockInterval{1};
constexpr std::chrono::seconds kListenersInterval{1};
constexpr std::chrono::seconds kSkipLogInterval{1};
constexpr std::size_t kMissedRowsPerFetch = 10;  // each may be large

// A poll takes whole transactions: the one in which it has had enough, too.
constexpr std::size_t kChangesPerPoll = 1'000;
constexpr std::size_t kPolledRowsMax = 10'000'000;
constexpr std::size_t kPolledBytesMax = std::size_t{512} << 20;

// In the order in which texts_of() takes them.
constexpr const char* kColumns = "id, topic, event, private, inserted_at, payload, binary_payload";

bool is_crowded(const PgError& error) { return error.sqlstate == "53300" || error.sqlstate == "53400"; }

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
  return out + "'";
}

std::string interval(std::chrono::milliseconds duration) {
  return "interval '" + std::to_string(duration.count()) + " milliseconds'";
}

messages::RowTexts texts_of(const postgres::Rows& rows, std::size_t row) {
  return {.id = rows.text(row, 0),
          .topic = rows.text(row, 1),
          .event = rows.text(row, 2),
          .is_private = rows.text(row, 3),
          .inserted_at = rows.text(row, 4),
          .payload = rows.text(row, 5),
          .binary_payload = rows.text(row, 6)};
}

postgres::Task<postgres::Result<postgres::Rows>> ask(postgres::Connection& session, std::string sql) {
  postgres::Batch batch{.ends = postgres::Ends::kOpen};
  batch.statements = {{.sql = std::move(sql), .plan = postgres::Plan::kOnce}};
  batch.limits = {.rows = kPolledRowsMax, .bytes = kPolledBytesMax};
  auto reply = co_await session.run(std::move(batch));
  if (!reply) co_return tl::make_unexpected(reply.error());
  co_return std::move(reply->back());
}

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
  if (slot == Slot::kStays || !is_durable_ || slot_.empty()) co_return;
  const auto dropped = co_await drop_slots(parts_.surroundings, settings_.connection, slot_, std::move(cancellation));
  if (!dropped)
    log(LogLevel::kError, "DropReplicationSlotFailed", "the slot " + slot_ + " stays: " + dropped.error().message);
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

postgres::Task<MessageFeed::End> MessageFeed::stream() {
  postgres::ConnectionSettings how = settings_.connection;
  how.application_name = "realtime_replication_connection";
  how.statement_timeout = parts_.config.query_timeout;
  how.search_path = "pg_catalog";
  auto opened = co_await ReplicationConnection::open(parts_.surroundings, std::move(how), cancellation_);
  if (!opened) co_return failed(opened.error(), kNotStarted);
  connection_ = *std::move(opened);
  if (is_stopping_) co_return End{};
  const auto facts = co_await look_at_replication(*connection_, query_deadline());
  if (!facts) co_return failed(facts.error(), kNotStarted);
  facts_ = *facts;
  const auto publication = co_await keep_publication(*connection_, query_deadline());
  if (!publication) co_return failed(publication.error(), kNotStarted);
  // What was logged before there was this publication cannot be decoded with it.
  if (*publication != PublicationUpkeep::kKept) slot_has_to_go_ = true;
  if (*publication == PublicationUpkeep::kMadeAgain) {
    log(LogLevel::kWarning, "",
        std::string(kMessagesPublication) + " was not what it should be (realtime.messages alone), and was made again");
  }
  if (auto end = co_await prepare_slot()) co_return *std::move(end);

  rows_ = std::make_unique<messages::MessageStream>();
  confirmations_ = messages::Confirmations(parts_.config.resume_window);
  transaction_.reset();
  fault_.reset();
  confirmed_ = received_ = server_end_ = {};
  lag_before_ = 0;
  const auto started = co_await connection_->start("START_REPLICATION SLOT \"" + slot_ +
                                                       "\" LOGICAL 0/0 (proto_version '1', publication_names '" +
                                                       std::string(kMessagesPublication) + "')",
                                                   query_deadline());
  if (!started) co_return failed(started.error(), kNotStarted);
  parts_.counters.started.add();
  memory_->slot = slot_;
  set_streaming(true);
  co_return co_await follow();
}

postgres::Task<std::optional<MessageFeed::End>> MessageFeed::prepare_slot() {
  is_durable_ = database::is_durable(slot_mode(), facts_);
  if (!is_durable_) {
    slot_ = temporary_slot_name(kMessagesSlot, facts_, tenant_, parts_.config.node, parts_.config.slot_suffix);
    co_return co_await make_slot();
  }
  slot_ = durable_slot_name(kMessagesSlot, facts_, tenant_);
  auto locked =
      co_await wait_for_lock([this](std::string sql) { return connection_->query(std::move(sql), query_deadline()); });
  if (locked) co_return locked;
  while (true) {
    const auto found = co_await find_slot(*connection_, slot_, query_deadline());
    if (!found) co_return failed(found.error(), kNotStarted);
    if (!*found) co_return co_await make_slot();
    if ((*found)->is_active) {  // by a session of ours that the server does not know to be gone
      if (co_await stopped_.wait_until(parts_.clock.now() + kLockInterval)) co_return End{};
      continue;
    }
    if ((*found)->is_usable && !slot_has_to_go_) break;
    if (!(*found)->is_usable) {
      log(LogLevel::kWarning, "ReplicationSlotNotAlive",
          "the server has dropped what the slot " + slot_ +
              " kept: raise max_slot_wal_keep_size if that happens again; a new one is made");
    }
    const auto dropped = co_await connection_->query("DROP_REPLICATION_SLOT \"" + slot_ + "\"", query_deadline());
    if (!dropped) co_return failed(dropped.error(), kNotStarted);
  }
  if (memory_->slot != slot_) co_return co_await wait_for_listeners();
  co_return std::nullopt;
}

// One node at a time has a tenant's durable slot; the lock goes with the session.
postgres::Task<std::optional<MessageFeed::End>> MessageFeed::wait_for_lock(Query query) {
  const std::string ask = "SELECT pg_try_advisory_lock(" + std::to_string(slot_lock(slot_)) + ")";
  bool is_told = false;
  while (true) {
    const auto taken = co_await query(ask);
    if (!taken) co_return failed(taken.error(), kNotStarted);
    if (taken->text(0, 0) == "t") co_return std::nullopt;
    if (!std::exchange(is_told, true))
      log(LogLevel::kInfo, "", "another session has the slot " + slot_ + ": waiting until it is free");
    if (co_await stopped_.wait_until(parts_.clock.now() + kLockInterval)) co_return End{};
  }
}

// What the slot kept is for those who were here before a restart, so they have to be back.
postgres::Task<std::optional<MessageFeed::End>> MessageFeed::wait_for_listeners() {
  while (parts_.users(tenant_) == 0 || parts_.clock.now() < began_ + parts_.config.resume_grace) {
    const Time next = parts_.clock.now() + kListenersInterval;
    const Time graced = began_ + parts_.config.resume_grace;
    if (co_await stopped_.wait_until(parts_.clock.now() < graced ? std::min(next, graced) : next)) co_return End{};
    // The server would notice; we would not.
    const auto alive = co_await connection_->query("SELECT 1", query_deadline());
    if (!alive) co_return failed(alive.error(), kNotStarted);
  }
  co_return std::nullopt;
}

postgres::Task<std::optional<MessageFeed::End>> MessageFeed::make_slot() {
  auto made = co_await make_slot_now();
  // duplicate_object: somebody else chose this name, and a name need not be that one.
  if (!made && made.error().sqlstate == "42710" && !is_durable_) {
    log(LogLevel::kWarning, "", "somebody else has a slot " + slot_ + ": taking another name");
    slot_ = temporary_slot_name(kMessagesSlot, facts_, tenant_, parts_.random.next(), std::nullopt);
    made = co_await make_slot_now();
  }
  if (!made) co_return failed(made.error(), kNotStarted);
  slot_has_to_go_ = false;
  memory_->delivered_until = {};
  co_return std::nullopt;
}

// The slot's first look at the database is ours, too: nothing is between the table, as it is read, and the stream.
postgres::Task<postgres::Result<void>> MessageFeed::make_slot_now() {
  auto done = co_await connection_->query("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ", query_deadline());
  if (done) {
    done = co_await connection_->query("CREATE_REPLICATION_SLOT \"" + slot_ + "\" " +
                                           (is_durable_ ? "" : "TEMPORARY ") + "LOGICAL pgoutput USE_SNAPSHOT",
                                       query_deadline());
  }
  if (!done) {
    (void)co_await connection_->query("ROLLBACK", query_deadline());
    co_return tl::make_unexpected(done.error());
  }
  const auto fetched =
      co_await fetch_missed([this](std::string sql) { return connection_->query(std::move(sql), query_deadline()); });
  if (!fetched) co_return tl::make_unexpected(fetched.error());
  const auto committed = co_await connection_->query("COMMIT", query_deadline());
  if (!committed) co_return tl::make_unexpected(committed.error());
  co_return postgres::Result<void>{};
}

// What was written while there was no slot, as far as the table can tell. In a transaction.
postgres::Task<postgres::Result<void>> MessageFeed::fetch_missed(Query query) {
  if (memory_->last_inserted_at.empty()) {
    const auto now = co_await query("SELECT now() AT TIME ZONE 'utc'");
    if (!now) co_return tl::make_unexpected(now.error());
    memory_->last_inserted_at = now->text(0, 0).value_or("");
    co_return postgres::Result<void>{};
  }
  if (!has_gap_rule()) co_return postgres::Result<void>{};
  const auto declared = co_await query("DECLARE missed CURSOR FOR " + missed_rows());
  if (!declared) co_return tl::make_unexpected(declared.error());
  while (true) {
    const auto rows = co_await query("FETCH " + std::to_string(kMissedRowsPerFetch) + " FROM missed");
    if (!rows) co_return tl::make_unexpected(rows.error());
    if (rows->empty()) co_return postgres::Result<void>{};
    begin_transaction_checks();
    is_from_table_ = true;
    for (std::size_t row = 0; row < rows->size(); ++row) take_row(texts_of(*rows, row));
    is_from_table_ = false;
    co_await wait_for_room();
  }
}

// Times are those of whoever inserted the rows; one that lies ahead of the gap does not hide the others.
std::string MessageFeed::missed_rows() const {
  const MessageFeedConfig& config = parts_.config;
  const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(
      memory_->lost_at ? parts_.clock.now() - *memory_->lost_at : Duration::zero());
  const std::string now = "(now() AT TIME ZONE 'utc')";
  const std::string since = "greatest(least(" + quoted(memory_->last_inserted_at) + "::timestamp, " + now + " - " +
                            interval(gap) + ") - " + interval(config.gap_overlap) + ", " + now + " - " +
                            interval(config.gap_age_max) + ")";
  const std::string newest = std::string("SELECT ") + kColumns +
                             ", tableoid AS part, ctid AS place FROM realtime.messages WHERE inserted_at > " + since +
                             " ORDER BY inserted_at DESC, tableoid DESC, ctid DESC LIMIT " +
                             std::to_string(config.gap_rows_max);
  return std::string("SELECT ") + kColumns + " FROM (" + newest + ") m ORDER BY inserted_at, part, place";
}

// What holds for the rows that follow.
void MessageFeed::begin_transaction_checks() {
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
      // undefined_object: the publication, for some time that is still to be decoded.
      if (received.error().sqlstate == "42704") slot_has_to_go_ = true;
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
    is_repeated_ = began->commit < memory_->delivered_until;
    begin_transaction_checks();
  } else if (const auto* ended = std::get_if<messages::Ended>(&*event)) {
    transaction_.reset();
    memory_->delivered_until = std::max(memory_->delivered_until, ended->end);
    received_ = std::max(received_, ended->end);
    confirmations_.ended(ended->end, parts_.clock.now());
  } else if (const auto* inserted = std::get_if<messages::Inserted>(&*event)) {
    if (!is_repeated_) take_row(inserted->row);
  } else if (const auto* foreign = std::get_if<messages::Foreign>(&*event)) {
    log(LogLevel::kWarning, "",
        "Unexpected relation on schema '" + foreign->schema + "' and table '" + foreign->table +
            "': " + std::string(kMessagesPublication) + " is for realtime.messages alone, rows of others are left out");
  }
  return true;
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
  const Lsn confirmed = confirmations_.confirmed(now);
  const bool is_due = now >= status_due_;
  if (!is_due && !is_asked && confirmed == confirmed_) return;
  confirmed_ = confirmed;
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

// --- Without a walsender

postgres::Task<MessageFeed::End> MessageFeed::poll() {
  postgres::ConnectionSettings how = settings_.connection;
  how.application_name = "realtime_replication_connection";
  how.statement_timeout = parts_.config.query_timeout;
  how.search_path = "pg_catalog";
  auto opened =
      co_await postgres::Connection::open(parts_.surroundings, std::move(how), postgres::OnNotice{}, cancellation_);
  if (!opened) co_return failed(opened.error(), kNotStarted);
  const std::unique_ptr<postgres::Connection> session = *std::move(opened);
  const ClosedByCancellation closed(*session, cancellation_);
  session->begin_exclusive_use();
  const Query query = [&session](std::string sql) { return ask(*session, std::move(sql)); };
  if (auto end = co_await prepare_polled_slot(query)) co_return *std::move(end);
  memory_->slot = slot_;
  parts_.counters.polling.add();
  set_streaming(true);
  const Time until = parts_.clock.now() + parts_.config.poll_for;
  End end;
  while (!is_stopping_ && parts_.clock.now() < until) {
    const auto polled = co_await poll_once(query);
    if (!polled) end = failed(polled.error(), kDown);
    if (fault_) end = *std::exchange(fault_, std::nullopt);
    if (!end.code.empty()) break;
    co_await wait_for_room();
    if (*polled) continue;
    co_await stopped_.wait_until(parts_.clock.now() + parts_.config.poll_interval);
  }
  parts_.counters.polling.subtract();
  co_return end;
}

postgres::Task<std::optional<MessageFeed::End>> MessageFeed::prepare_polled_slot(Query query) {
  rows_ = std::make_unique<messages::MessageStream>();
  confirmations_ = messages::Confirmations(parts_.config.resume_window);
  transaction_.reset();
  fault_.reset();
  if (is_durable_) {
    if (auto end = co_await wait_for_lock(query)) co_return end;
    const auto found = co_await query("SELECT 1 FROM pg_replication_slots WHERE slot_name = " + quoted(slot_));
    if (!found) co_return failed(found.error(), kNotStarted);
    if (!found->empty()) co_return std::nullopt;
  }
  // Others may have the name that a walsender would have taken.
  if (!is_durable_) slot_ = temporary_slot_name(kMessagesSlot, facts_, tenant_, parts_.random.next(), std::nullopt);
  const auto made = co_await query("SELECT pg_create_logical_replication_slot(" + quoted(slot_) + ", 'pgoutput', " +
                                   (is_durable_ ? "false)" : "true)"));
  if (!made) co_return failed(made.error(), kNotStarted);
  memory_->delivered_until = {};
  // What is committed between the two is found in both, and told once.
  const auto begun = co_await query("BEGIN READ ONLY");
  if (!begun) co_return failed(begun.error(), kNotStarted);
  const auto fetched = co_await fetch_missed(query);
  if (!fetched) co_return failed(fetched.error(), kNotStarted);
  const auto ended = co_await query("COMMIT");
  if (!ended) co_return failed(ended.error(), kNotStarted);
  co_return std::nullopt;
}

// False: there was nothing.
postgres::Task<postgres::Result<bool>> MessageFeed::poll_once(Query query) {
  const auto rows =
      co_await query("SELECT lsn, data FROM pg_logical_slot_peek_binary_changes(" + quoted(slot_) + ", NULL, " +
                     std::to_string(kChangesPerPoll) + ", 'proto_version', '1', 'publication_names', " +
                     quoted(kMessagesPublication) + ")");
  if (!rows) co_return tl::make_unexpected(rows.error());
  for (std::size_t row = 0; row < rows->size(); ++row) {
    const auto bytes = messages::bytes_of_hex(rows->text(row, 1).value_or(""));
    if (!bytes || !take_event(*bytes)) co_return false;
  }
  (void)confirmations_.confirmed(parts_.clock.now());  // nobody waits for them here
  if (rows->empty()) co_return false;
  const auto advanced = co_await query("SELECT pg_replication_slot_advance(" + quoted(slot_) + ", " +
                                       quoted(pgoutput::to_text(memory_->delivered_until)) + ")");
  if (!advanced) co_return tl::make_unexpected(advanced.error());
  co_return true;
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
