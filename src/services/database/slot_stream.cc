#include "services/database/slot_stream.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "base/check.h"

namespace rt::database {
namespace {

using postgres::PgError;
using postgres::ReplicationConnection;

// How soon the server is told that something was delivered.
constexpr std::chrono::milliseconds kConfirmInterval{500};
// While something else takes long, it hears from us all the same: less than any wal_sender_timeout that makes sense.
constexpr std::chrono::milliseconds kSignOfLifeInterval{500};
// A stream that lasted for so long was a good one: the next is not held back for what was before.
constexpr std::chrono::seconds kGoodStream{60};

bool is_crowded(const PgError& error) { return error.sqlstate == "53300" || error.sqlstate == "53400"; }

StreamEnd crowded(const SlotStreamNames& names, const PgError& error) {
  return {names.crowded,
          error.message + ": raise max_wal_senders and max_replication_slots; meanwhile " + std::string(names.what) +
              " are asked for",
          true};
}

std::string state_of(const PgError& error) { return error.sqlstate.empty() ? "" : " (" + error.sqlstate + ")"; }

}  // namespace

StreamEnd not_started(const SlotStreamNames& names, const PgError& error) {
  if (is_crowded(error)) return crowded(names, error);
  if (error.kind == postgres::ErrorClass::kTimeOut) return {names.timed_out, error.message};
  return {names.not_started, "Error starting replication: " + error.message + state_of(error)};
}

SlotStream::SlotStream(const Parts& parts, std::string tenant, TenantSettings settings, SlotStreamNames names,
                       std::shared_ptr<SlotMemory> memory, SlotReader& reader)
    : parts_(parts),
      tenant_(std::move(tenant)),
      settings_(std::move(settings)),
      names_(std::move(names)),
      memory_(std::move(memory)),
      reader_(reader),
      began_(parts.clock.now()),
      stopped_(parts.surroundings.io),
      confirmations_(parts.config.resume_window),
      worked_(parts.surroundings.io),
      group_(parts.surroundings.io) {
  group_.spawn(run());
}

SlotStream::~SlotStream() { RT_CHECK(is_stopping_ && group_.size() == 0); }

std::shared_ptr<const void> SlotStream::receipt() { return confirmations_.receipt(parts_.clock.now()); }

void SlotStream::wake() {
  is_woken_ = true;
  if (connection_) connection_->wake();
}

postgres::Task<void> SlotStream::stop(Slot slot, std::shared_ptr<postgres::Cancellation> cancellation) {
  RT_CHECK(!is_stopping_);
  is_stopping_ = true;
  stopped_.set();
  cancellation_->cancel();
  if (connection_) connection_->close();
  co_await group_.drained();
  if (slot == Slot::kStays || memory_->durable_slot.empty()) co_return;
  const std::string name = std::exchange(memory_->durable_slot, {});
  const auto dropped = co_await drop_slots(parts_.surroundings, settings_.connection, name, std::move(cancellation));
  if (!dropped)
    log(LogLevel::kError, "DropReplicationSlotFailed", "the slot " + name + " stays: " + dropped.error().message);
}

postgres::Task<void> SlotStream::run() {
  postgres::Backoff backoff(parts_.config.retry, parts_.random);
  while (!is_stopping_) {
    const Time began = parts_.clock.now();
    StreamEnd end = co_await stream();
    set_streaming(false);
    connection_.reset();
    if (is_stopping_) co_return;
    tell(end.code == names_.down ? LogLevel::kWarning : LogLevel::kError, end);
    if (end.is_crowded) {
      auto polled = co_await poll();
      set_streaming(false);
      if (is_stopping_) co_return;
      if (!polled) continue;  // perhaps there is room now
      end = *std::move(polled);
      tell(LogLevel::kError, end);
    }
    is_over_ = end.is_final;
    if (is_over_) co_return;
    if (parts_.clock.now() - began >= kGoodStream) backoff.succeeded();
    backoff.failed(parts_.clock.now());
    co_await stopped_.wait_until(backoff.not_before());
  }
}

// --- From a connection to a stream

postgres::ConnectionSettings SlotStream::session_settings() const {
  postgres::ConnectionSettings how = settings_.connection;
  how.application_name = names_.application;
  how.statement_timeout = parts_.config.query_timeout;
  how.lock_timeout = parts_.config.query_timeout;  // a new slot waits for all who write, by their locks
  how.search_path = "pg_catalog";
  return how;
}

postgres::Task<StreamEnd> SlotStream::stream() {
  auto opened = co_await ReplicationConnection::open(parts_.surroundings, session_settings(), cancellation_);
  if (!opened) co_return not_started(names_, opened.error());
  connection_ = *std::move(opened);
  if (is_stopping_) co_return StreamEnd{};
  const Query query = [this](std::string sql) { return connection_->query(std::move(sql), query_deadline()); };
  if (auto end = co_await look_around(query)) co_return *std::move(end);
  if (auto end = co_await prepare_slot(query, Way::kStream)) co_return *std::move(end);
  const auto started = co_await connection_->start("START_REPLICATION SLOT \"" + slot_ +
                                                       "\" LOGICAL 0/0 (proto_version '1', publication_names " +
                                                       quoted_name(names_.publication) + ")",
                                                   query_deadline());
  if (!started) co_return not_started(names_, started.error());
  parts_.counters.started.add();
  begin_reading();
  StreamEnd end = co_await follow();
  transaction_.reset();
  co_return end;
}

// What has to be known and in place first, whichever way it is read.
postgres::Task<std::optional<StreamEnd>> SlotStream::look_around(Query query) {
  const auto facts = co_await look_at_replication(query);
  if (!facts) co_return not_started(names_, facts.error());
  facts_ = *facts;
  is_durable_ = database::is_durable(slot_mode(), facts_);
  co_return co_await reader_.prepare(query);
}

void SlotStream::begin_reading() {
  confirmations_ = messages::Confirmations(parts_.config.resume_window);
  transaction_.reset();
  fault_.reset();
  confirmed_ = received_ = server_end_ = {};
  lag_before_ = 0;
  polled_until_.clear();
  // Positions of another slot say nothing about this one: it may be behind.
  if (std::exchange(memory_->slot, slot_) != slot_) memory_->delivered_until = {};
  told_ = {memory_->delivered_until, memory_->half_told, memory_->rows_told};
  ended_ = nothing_until_ = {};
  is_settled_ = true;
  gathering_since_.reset();
  reader_.begin();
  set_streaming(true);
}

// --- The stream

postgres::Task<StreamEnd> SlotStream::follow() {
  heard_at_ = parts_.clock.now();
  status_due_ = heard_at_;
  while (true) {
    const Time now = parts_.clock.now();
    confirm(now, false);
    if (fault_) co_return *std::move(fault_);
    Time next = confirmations_.is_all_delivered() ? status_due_ : std::min(status_due_, now + kConfirmInterval);
    if (gathering_since_) next = std::min(next, *gathering_since_ + parts_.config.gather_max);
    if (is_woken_) next = now;
    const auto received = co_await connection_->receive(next, [this](std::string_view bytes) { return take(bytes); });
    if (received && *received > 0) heard_at_ = parts_.clock.now();
    if (received && is_more_to_come(parts_.clock.now())) continue;
    const bool is_done = co_await work();
    if (fault_) co_return *std::move(fault_);
    if (!received) co_return lost(received.error());
    if (!is_done) co_return StreamEnd{};
    if (auto end = overdue(parts_.clock.now())) co_return *std::move(end);
  }
}

// The server sends each row by itself, one right after the other once the transaction is committed. What a batch costs
// has little to do with how many rows are in it, so it is worth a moment.
bool SlotStream::is_more_to_come(Time now) {
  const bool may_wait = transaction_ && !is_settled_ && !is_woken_ && !is_stopping_ && !fault_ && reader_.may_take();
  if (may_wait && !gathering_since_) gathering_since_ = now;
  if (may_wait && now - *gathering_since_ < parts_.config.gather_max) return true;
  gathering_since_.reset();
  return false;
}

// False: what was taken since the last time has to be read again.
postgres::Task<bool> SlotStream::work() {
  is_woken_ = false;
  worked_.clear();
  std::optional<bool> outcome;
  group_.spawn(work_now(outcome));
  while (!co_await worked_.wait_until(parts_.clock.now() + kSignOfLifeInterval)) {
    if (!connection_) continue;
    const Time now = parts_.clock.now();
    heard_at_ = now;  // it is us who do not listen
    confirm(now, false);
    if (now - answered_at_ >= kSignOfLifeInterval) send_status(now, confirmed_, pgoutput::Reply::kNotNeeded);
  }
  if (*outcome) settle();
  co_return *outcome;
}

postgres::Task<void> SlotStream::work_now(std::optional<bool>& outcome) {
  outcome = co_await reader_.work();
  worked_.set();
}

void SlotStream::set_streaming(bool is_streaming) {
  if (std::exchange(is_streaming_, is_streaming) == is_streaming) return;
  if (is_streaming) {
    parts_.counters.streaming.add();
  } else {
    parts_.counters.streaming.subtract();
    parts_.counters.lost.add();
  }
  reader_.on_streaming(is_streaming);
}

StreamEnd SlotStream::lost(const PgError& error) {
  // The publication was not there for some time that is still to be decoded: undefined_object, or from Postgres 18 on a
  // warning (object_not_in_prerequisite_state).
  if (error.sqlstate == "42704" || error.sqlstate == "55000") slot_has_to_go_ = true;
  if (is_crowded(error)) return crowded(names_, error);
  return {names_.down, "the stream of " + std::string(names_.what) + " ended: " + error.message + state_of(error)};
}

void SlotStream::tell(LogLevel level, const StreamEnd& end) const {
  reader_.on_end(end);
  if (!end.code.empty()) log(level, end.code, end.text);
}

void SlotStream::log(LogLevel level, std::string_view code, const std::string& text) const {
  const bool has_code = code.empty() || text.starts_with(code);
  parts_.log.write(level, {.tenant = tenant_, .error_code = code}, has_code ? text : std::string(code) + ": " + text);
}

}  // namespace rt::database
