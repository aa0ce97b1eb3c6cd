// A replication slot and what is read from it, for as long as it is wanted.
//
// One walsender session has it all: it makes the slot or takes up the one that is there, and streams. Whatever ends it,
// another one begins, later each time. Where the server has no walsender left, the slot is read over an ordinary
// session instead, by asking again and again. What it reads is for its reader, who knows what it means.
//
// What was delivered is confirmed to the server, and only that (domain/messages/confirmations.h), so that a durable
// slot gives it again to whoever comes after a crash. What this process has told already is not handed on a second
// time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/random.h"
#include "domain/messages/confirmations.h"
#include "io/postgres/backoff.h"
#include "io/postgres/event.h"
#include "io/postgres/replication.h"
#include "io/postgres/task_group.h"
#include "model/lsn.h"
#include "protocol/pgoutput/messages.h"
#include "protocol/pgoutput/stream.h"
#include "services/database/replication_slot.h"
#include "services/database/tenant_settings.h"

namespace rt::database {

struct SlotStreamConfig {
  SlotMode slot_mode = SlotMode::kAuto;      // of tenants that have none of their own
  std::optional<std::string> slot_suffix{};  // SLOT_NAME_SUFFIX; nullopt: names follow from database, tenant and node
  std::uint64_t node = 0;                    // what tells it from other nodes
  std::chrono::milliseconds resume_window{2'000};
  // How long somebody who was connected before a start has to come back before what a durable slot kept is told.
  std::chrono::milliseconds resume_grace{15'000};
  std::chrono::milliseconds gather_max{5};            // for the rest of a transaction, before its rows are worked off
  std::chrono::milliseconds query_timeout{240'000};   // a slot waits for all transactions that are open
  std::chrono::milliseconds status_interval{10'000};  // after which the server is told how far we are, and answers
  std::chrono::milliseconds silence_max{60'000};      // of the server, before it is taken for dead
  std::chrono::milliseconds poll_interval{100};       // without a walsender
  std::chrono::milliseconds poll_for{60'000};         // before a walsender is tried again
  postgres::BackoffConfig retry{std::chrono::milliseconds(1'000), std::chrono::milliseconds(60'000)};
};

// What outlives a stream, so that the next one of the same database goes on where it ended.
struct SlotMemory {
  std::string slot;             // that was read last
  Lsn delivered_until;          // of what is in that slot
  Lsn half_told;                // the commit of the transaction of which rows were told last,
  std::uint64_t rows_told = 0;  // and how many
  std::string durable_slot;     // that may be there; empty: none is known
};

// Why there is no stream any more.
struct StreamEnd {
  std::string_view code;  // for the log; a literal. Empty: nothing is to be said
  std::string text;
  bool is_crowded = false;  // the server has no walsender, or no slot, left
  bool is_final = false;    // no other is to follow
};

// The transaction that is being read.
struct Transaction {
  Lsn commit;
  std::int64_t committed_micros = 0;  // since 2000-01-01 in UTC
  std::uint32_t id = 0;
};

// What reads it: how it is made, and what its bytes mean. All of it is called on the loop.
class SlotReader {
 public:
  virtual ~SlotReader() = default;

  // In the session, before it looks for its slot: the publication is as it has to be. nullopt: go on.
  virtual postgres::Task<std::optional<StreamEnd>> prepare(Query query) = 0;
  // The slot is there and nobody else's: what is committed from now on will be read. kNew: it was made just now, so
  // what was before it is lost, if there was anything. kLeft: an earlier process left it, and nothing is read until
  // has_listeners(), and the grace has passed. kSame: it goes on where it was. A temporary slot ends with its session,
  // so it is kNew each time.
  enum class Continuity : std::uint8_t { kNew, kLeft, kSame };
  virtual void on_slot(Continuity continuity) = 0;
  virtual bool has_listeners() = 0;
  // In the transaction that made a new slot, whose snapshot is that of the slot. Before on_slot(). An error ends the
  // session, and the slot is made again.
  virtual postgres::Task<postgres::Result<void>> on_new_slot(Query query) = 0;

  // Reading begins; descriptions of tables come anew.
  virtual void begin() = 0;
  // One message of the output plugin that is none of Begin and Commit. Those that are rows (I, U, D) are left out where
  // they were told before. nullopt: go on. Else work() is called once more before the stream ends, for what came before
  // this message, which counts as not taken.
  virtual std::optional<StreamEnd> take(const Transaction& transaction, std::string_view message) = 0;
  // More may be taken before work() was called.
  virtual bool may_take() = 0;
  // After each time that something came or could have: whatever takes time with what was taken since the last call.
  // When it ends, all of that is on its way to those whom it is for, and who has one of its parts has a receipt().
  // Nothing is taken meanwhile, and the server knows that we are there. False: it was given up. The session ends
  // without a word, and another one reads all of it again, where the slot is a durable one. It may be called, once,
  // when the stream is being stopped; whoever stops that sees to it that it ends soon.
  virtual postgres::Task<bool> work() = 0;
  // It is being read now, or no longer.
  virtual void on_streaming(bool is_streaming) = 0;
  // A session has ended, or was not to be had.
  virtual void on_end(const StreamEnd& /*end*/) {}
};

struct SlotStreamNames {
  std::string slot;  // the first part of its name
  std::string publication;
  std::string application;       // of its session
  std::string_view what;         // that it is a stream of, for the log: `messages`
  std::string_view not_started;  // codes for the log; literals
  std::string_view down;
  std::string_view timed_out;
  std::string_view crowded;
  std::string_view lag_too_high;
  std::string_view being_used{};     // a durable slot that another session has; empty: no code, and no error
  std::string_view when_replaced{};  // what follows from that a slot which keeps too much is replaced; `, and ...`
};
// Of an error before anything was read.
StreamEnd not_started(const SlotStreamNames& names, const postgres::PgError& error);

struct SlotStreamCounters {
  Counter streaming;  // that are, now
  Counter started;
  Counter lost;
  Counter polling;  // that have no walsender, now
};

class SlotStream {  // loop-bound
 public:
  struct Parts {
    postgres::Surroundings surroundings;
    const Clock& clock;
    Random& random;
    Log& log;
    const SlotStreamConfig& config;
    SlotStreamCounters& counters;
  };

  // Begins at once. What `parts` refers to, and the reader, outlive it.
  SlotStream(const Parts& parts, std::string tenant, TenantSettings settings, SlotStreamNames names,
             std::shared_ptr<SlotMemory> memory, SlotReader& reader);
  ~SlotStream();
  SlotStream(const SlotStream&) = delete;
  SlotStream& operator=(const SlotStream&) = delete;

  // It has ended by an end that was final; it has to be stopped all the same.
  bool is_over() const { return is_over_; }
  // For what is delivered now: see Confirmations.
  std::shared_ptr<const void> receipt();
  // Lets work() be called again though nothing has come.
  void wake();

  // kIsDropped: a durable slot is not wanted any more; a cancellation lets it stay. The reader is not called any more
  // once it has ended. Nothing else may be called from then on.
  enum class Slot : std::uint8_t { kStays, kIsDropped };
  postgres::Task<void> stop(Slot slot, std::shared_ptr<postgres::Cancellation> cancellation);

 private:
  enum class Way : std::uint8_t { kStream, kPoll };

  postgres::Task<void> run();
  postgres::Task<StreamEnd> stream();
  postgres::Task<std::optional<StreamEnd>> look_around(Query query);
  void begin_reading();
  postgres::Task<StreamEnd> follow();
  bool is_more_to_come(Time now);
  postgres::Task<bool> work();
  postgres::Task<void> work_now(std::optional<bool>& outcome);
  postgres::ConnectionSettings session_settings() const;
  void set_streaming(bool is_streaming);
  StreamEnd lost(const postgres::PgError& error);
  Time query_deadline() const { return parts_.clock.now() + parts_.config.query_timeout; }
  void tell(LogLevel level, const StreamEnd& end) const;
  void log(LogLevel level, std::string_view code, const std::string& text) const;

  // slot_making.cc: none, where there is a slot that is ours.
  postgres::Task<std::optional<StreamEnd>> prepare_slot(Query query, Way way);
  postgres::Task<std::optional<StreamEnd>> wait_for_lock(Query query);
  postgres::Task<std::optional<StreamEnd>> wait_for_listeners(Query query);
  postgres::Task<std::optional<StreamEnd>> make_slot(Query query, Way way);
  postgres::Task<postgres::Result<void>> make_slot_now(Query query, Way way);
  void note_being_used(const std::string& text) const;
  SlotMode slot_mode() const { return settings_.slot_mode.value_or(parts_.config.slot_mode); }

  // slot_reading.cc
  postgres::ReplicationConnection::Go take(std::string_view bytes);
  bool take_event(std::string_view bytes);
  bool take_bound(std::string_view bytes);
  bool take_row(std::string_view bytes);
  bool hand_on(std::string_view bytes);
  void note_nothing_until(Lsn position);
  void settle();
  void confirm(Time now, bool is_asked);
  void send_status(Time now, Lsn confirmed, pgoutput::Reply reply);
  void guard_lag(Lsn confirmed);
  std::optional<StreamEnd> overdue(Time now) const;

  // slot_polling.cc; nullopt: it is time to look for a walsender.
  enum class Polled : std::uint8_t { kNothing, kSomething, kGivenUp };
  postgres::Task<std::optional<StreamEnd>> poll();
  postgres::Task<std::optional<StreamEnd>> poll_for_a_while(Query query);
  postgres::Task<postgres::Result<Polled>> poll_once(Query query);
  postgres::Task<bool> take_polled(const postgres::Rows& rows);

  const Parts parts_;
  const std::string tenant_;
  const TenantSettings settings_;
  const SlotStreamNames names_;
  const std::shared_ptr<SlotMemory> memory_;
  SlotReader& reader_;
  const Time began_;
  bool is_stopping_ = false;
  bool is_over_ = false;
  postgres::Event stopped_;
  const std::shared_ptr<postgres::Cancellation> cancellation_ = std::make_shared<postgres::Cancellation>();
  std::unique_ptr<postgres::ReplicationConnection> connection_;  // null: there is none
  ReplicationFacts facts_;
  std::string slot_;             // its name
  bool is_durable_ = false;      // the slot
  bool slot_has_to_go_ = false;  // it keeps too much, or what cannot be decoded
  bool is_streaming_ = false;

  // --- Of what is read
  pgoutput::Parser parser_;
  std::optional<Transaction> transaction_;
  bool is_repeated_ = false;  // the transaction was delivered before
  std::uint64_t rows_of_transaction_ = 0;
  // As the memory will have it when what was taken is on its way.
  struct Told {
    Lsn delivered_until;
    Lsn half_told;
    std::uint64_t rows_told = 0;
  };
  Told told_;
  Lsn ended_;               // of the last transaction that was taken since; 0: none
  Lsn nothing_until_;       // the server has nothing behind that up to there; 0: it did not say so
  bool is_settled_ = true;  // nothing was taken since
  std::optional<Time> gathering_since_;
  messages::Confirmations confirmations_;
  std::optional<StreamEnd> fault_;  // of what was received
  bool is_woken_ = false;
  postgres::Event worked_;

  // --- Of the session
  Lsn server_end_;  // as far as the server's log goes
  Lsn received_;
  Lsn confirmed_;                 // as told to the server
  std::uint64_t lag_before_ = 0;  // when it was looked at last
  Time heard_at_{};
  Time status_due_{};
  Time answered_at_{};
  std::string polled_until_;  // without a walsender: how far the slot was advanced

  postgres::TaskGroup group_;
};

}  // namespace rt::database
