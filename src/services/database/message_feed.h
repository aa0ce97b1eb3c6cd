// The messages that are written into a tenant's realtime.messages, as they are committed.
//
// One walsender session has it all: it looks after our publication and our slot, fetches from the table what was
// missed while there was none, and streams. Whatever ends it, another one begins, later each time. Where the server
// has no walsender left, the slot is read over an ordinary session instead, by asking again and again.
//
// What is delivered is confirmed to the server, and only that (domain/messages/confirmations.h), so that a durable
// slot gives it again to whoever comes after a crash.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/clock.h"
#include "base/counter.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/random.h"
#include "domain/messages/confirmations.h"
#include "domain/messages/message_stream.h"
#include "domain/messages/recent_ids.h"
#include "io/postgres/backoff.h"
#include "io/postgres/event.h"
#include "io/postgres/replication.h"
#include "io/postgres/task_group.h"
#include "model/stored_broadcast.h"
#include "model/tenant.h"
#include "services/database/replication_slot.h"
#include "services/database/tenant_settings.h"

namespace rt::database {

struct MessageFeedConfig {
  SlotMode slot_mode = SlotMode::kAuto;      // of tenants that have none of their own
  std::optional<std::string> slot_suffix{};  // SLOT_NAME_SUFFIX; nullopt: names follow from database, tenant and node
  std::uint64_t node = 0;                    // what tells it from other nodes
  std::chrono::milliseconds resume_window{2'000};
  // How long somebody who was connected before a start has to come back before what a durable slot kept is told.
  std::chrono::milliseconds resume_grace{15'000};
  // What is fetched from the table after a time without a slot: rows of at most that age, and at most so many. 0: none.
  std::chrono::milliseconds gap_age_max{60'000};
  std::size_t gap_rows_max = 1'000;
  // How much earlier than the last message one may have been written and yet be committed later.
  std::chrono::milliseconds gap_overlap{10'000};
  std::chrono::milliseconds query_timeout{240'000};   // a slot waits for all transactions that are open
  std::chrono::milliseconds status_interval{10'000};  // after which the server is told how far we are, and answers
  std::chrono::milliseconds silence_max{60'000};      // of the server, before it is taken for dead
  std::chrono::milliseconds poll_interval{100};       // without a walsender
  std::chrono::milliseconds poll_for{60'000};         // before a walsender is tried again
  postgres::BackoffConfig retry{std::chrono::milliseconds(1'000), std::chrono::milliseconds(60'000)};
};

// Where messages go, and what is known there. All of it thread-safe; nothing may be called once the feed has stopped.
struct MessageSink {
  std::function<void(StoredBroadcast)> publish;
  std::function<bool(std::string_view tenant)> events_are_over_limit;
  // False: too much is on its way. `then` is called, on any thread, once it is less, or never.
  std::function<bool()> may_publish;
  std::function<void(std::function<void()> then)> when_may_publish;
};

// Milliseconds to the moment at which a message goes to the members of its topic.
inline constexpr std::array<std::int64_t, 3> kMessageBounds{10, 250, 5'000};
struct MessageTimes {
  Histogram<kMessageBounds> since_commit;
  Histogram<kMessageBounds> since_insert;
};

// Written by the thread of the databases, read by anyone.
struct MessageFeedCounters {
  Counter streaming;  // feeds that are, now
  Counter started;    // streams
  Counter lost;       // streams
  Counter published;
  Counter skipped;    // rows that cannot be broadcast
  Counter recovered;  // rows that were found in the table after a gap
  Counter polling;    // feeds that have no walsender, now
};

// What outlives a feed, so that the next one of the same database goes on where it ended.
struct FeedMemory {
  messages::RecentIds recent;
  std::string last_inserted_at;  // of the last message; of the beginning where there was none. Empty: no stream yet
  std::optional<Time> lost_at;   // when the stream ended, if none has followed
  std::string slot;              // that was read last
  Lsn delivered_until;           // of what is in that slot
  Lsn half_told;                 // the commit of the transaction of which rows were told last,
  std::uint64_t rows_told = 0;   // and how many
  std::string durable_slot;      // that may be there; empty: none is known
};

class MessageFeed {  // loop-bound
 public:
  struct Parts {
    postgres::Surroundings surroundings;
    const Clock& clock;
    Random& random;
    Log& log;
    const MessageFeedConfig& config;
    const MessageSink& sink;
    MessageFeedCounters& counters;
    std::function<std::shared_ptr<const TenantRecord>(std::string_view tenant)> find;
    std::function<std::int64_t(std::string_view tenant)> users;
  };

  // Begins at once. What `parts` refers to outlives it. `is_streaming` and `times` are written.
  MessageFeed(const Parts& parts, std::string tenant, TenantSettings settings, std::shared_ptr<FeedMemory> memory,
              std::atomic<bool>& is_streaming, MessageTimes& times);
  ~MessageFeed();
  MessageFeed(const MessageFeed&) = delete;
  MessageFeed& operator=(const MessageFeed&) = delete;

  // kIsDropped: a durable slot is not wanted any more; a cancellation lets it stay. Nothing else may be called from
  // then on.
  enum class Slot : std::uint8_t { kStays, kIsDropped };
  postgres::Task<void> stop(Slot slot, std::shared_ptr<postgres::Cancellation> cancellation);

 private:
  // Why there is no stream any more.
  struct End {
    std::string_view code;  // for the log; a literal
    std::string text;
    bool is_crowded = false;  // the server has no walsender, or no slot, left
  };
  enum class Way : std::uint8_t { kStream, kPoll };

  static constexpr std::string_view kNotStarted = "StartReplicationFailed";
  static constexpr std::string_view kDown = "ReplicationConnectionDown";

  postgres::Task<void> run();
  postgres::Task<End> stream();
  postgres::Task<std::optional<End>> look_around(Query query);
  void begin_reading();
  postgres::Task<End> follow();
  postgres::Task<void> wait_for_room();
  postgres::ConnectionSettings session_settings() const;

  // feed_slot.cc: none, where there is a slot and what was missed was told.
  postgres::Task<std::optional<End>> prepare_slot(Query query, Way way);
  postgres::Task<std::optional<End>> wait_for_lock(Query query);
  postgres::Task<std::optional<End>> wait_for_listeners(Query query);
  postgres::Task<std::optional<End>> make_slot(Query query, Way way);
  postgres::Task<postgres::Result<void>> make_slot_now(Query query, Way way);
  postgres::Task<postgres::Result<void>> fetch_missed(Query query);
  std::string missed_rows() const;
  bool has_gap_rule() const { return parts_.config.gap_age_max.count() > 0 && parts_.config.gap_rows_max > 0; }

  // polled_feed.cc
  postgres::Task<End> poll();
  postgres::Task<End> poll_for_a_while(Query query);
  postgres::Task<postgres::Result<bool>> poll_once(Query query);

  postgres::ReplicationConnection::Go take(std::string_view bytes);
  bool take_event(std::string_view bytes);
  bool is_next_row();
  void note_foreign(const messages::Foreign& foreign);
  void take_row(const messages::RowTexts& texts);
  void skip(std::string_view reason);
  void confirm(Time now, bool is_asked);
  std::optional<End> overdue(Time now);
  void set_streaming(bool is_streaming);
  End failed(const postgres::PgError& error, std::string_view code) const;
  Time query_deadline() const { return parts_.clock.now() + parts_.config.query_timeout; }
  SlotMode slot_mode() const { return settings_.slot_mode.value_or(parts_.config.slot_mode); }
  std::int64_t micros_now() const;
  void learn_limits();
  void log(LogLevel level, std::string_view code, const std::string& text) const;

  const Parts parts_;
  const std::string tenant_;
  const TenantSettings settings_;
  const std::shared_ptr<FeedMemory> memory_;
  std::atomic<bool>& is_streaming_;
  MessageTimes& times_;
  const Time began_;
  bool is_stopping_ = false;
  postgres::Event stopped_;
  const std::shared_ptr<postgres::Cancellation> cancellation_ = std::make_shared<postgres::Cancellation>();
  std::unique_ptr<postgres::ReplicationConnection> connection_;  // null: there is none
  ReplicationFacts facts_;
  std::string slot_;             // its name
  bool is_durable_ = false;      // the slot
  bool slot_has_to_go_ = false;  // it keeps too much, or what cannot be decoded

  // --- Of the stream
  std::unique_ptr<messages::MessageStream> rows_;
  messages::Confirmations confirmations_;
  std::optional<messages::Began> transaction_;
  bool is_repeated_ = false;  // the transaction was delivered before
  std::uint64_t rows_of_transaction_ = 0;
  std::unordered_set<std::string> foreign_tables_;  // that were named in the log
  Lsn server_end_;                                  // as far as the server's log goes
  Lsn received_;
  Lsn confirmed_;                 // as told to the server
  std::uint64_t lag_before_ = 0;  // when it was looked at last
  Time heard_at_{};
  Time status_due_{};
  Time answered_at_{};
  std::string polled_until_;  // without a walsender: how far the slot was advanced
  std::optional<End> fault_;  // of what was received
  std::uint64_t body_bytes_max_ = 0;

  // --- Of the messages, whichever way they came
  bool is_from_table_ = false;
  struct Skips {
    Time logged_at{};
    std::uint64_t since = 0;  // that were not logged
  };
  std::unordered_map<std::string_view, Skips> skips_;  // by reason

  struct Room;  // for more messages, shared with who tells of it
  std::shared_ptr<Room> room_;
  postgres::TaskGroup group_;
};

}  // namespace rt::database
