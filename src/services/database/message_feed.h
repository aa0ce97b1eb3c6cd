// The messages that are written into a tenant's realtime.messages, as they are committed.
//
// They are read from a slot (slot_stream.h) of the publication that is ours. What was written while there was none is
// fetched from the table, as far as that can tell.
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
#include "domain/messages/message_stream.h"
#include "domain/messages/recent_ids.h"
#include "model/stored_broadcast.h"
#include "model/tenant.h"
#include "services/database/slot_stream.h"
#include "services/database/tenant_settings.h"
#include "services/database/workers_room.h"

namespace rt::database {

struct MessageFeedConfig : SlotStreamConfig {
  // What is fetched from the table after a time without a slot: rows of at most that age, and at most so many. 0: none.
  std::chrono::milliseconds gap_age_max{60'000};
  std::size_t gap_rows_max = 1'000;
  // How much earlier than the last message one may have been written and yet be committed later.
  std::chrono::milliseconds gap_overlap{10'000};
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
struct MessageFeedCounters : SlotStreamCounters {
  Counter published;
  Counter skipped;    // rows that cannot be broadcast
  Counter recovered;  // rows that were found in the table after a gap
};

// What outlives a feed, so that the next one of the same database goes on where it ended.
struct FeedMemory : SlotMemory {
  messages::RecentIds recent;
  std::string last_inserted_at;  // of the last message; of the beginning where there was none. Empty: no stream yet
  std::optional<Time> lost_at;   // when the stream ended, if none has followed
};

class MessageFeed final : SlotReader {  // loop-bound
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
  ~MessageFeed() override;
  MessageFeed(const MessageFeed&) = delete;
  MessageFeed& operator=(const MessageFeed&) = delete;

  // kIsDropped: a durable slot is not wanted any more; a cancellation lets it stay. Nothing else may be called from
  // then on.
  using Slot = SlotStream::Slot;
  postgres::Task<void> stop(Slot slot, std::shared_ptr<postgres::Cancellation> cancellation);

 private:
  // --- SlotReader
  postgres::Task<std::optional<StreamEnd>> prepare(Query query) override;
  void on_slot(Continuity) override {}
  bool has_listeners() override { return parts_.users(tenant_) > 0; }
  postgres::Task<postgres::Result<void>> on_new_slot(Query query) override;
  void begin() override;
  std::optional<StreamEnd> take(const Transaction& transaction, std::string_view message) override;
  bool may_take() override { return parts_.sink.may_publish(); }
  postgres::Task<bool> work() override;
  void on_streaming(bool is_streaming) override;

  // missed_messages.cc, as on_new_slot()
  std::string missed_rows() const;
  bool has_gap_rule() const { return parts_.config.gap_age_max.count() > 0 && parts_.config.gap_rows_max > 0; }

  void note_foreign(const messages::Foreign& foreign);
  // Null: it is from the table.
  void take_row(const messages::RowTexts& texts, const Transaction* transaction);
  void skip(std::string_view reason);
  void learn_limits();
  void log(LogLevel level, std::string_view code, const std::string& text) const;

  const Parts parts_;
  const std::string tenant_;
  const std::shared_ptr<FeedMemory> memory_;
  std::atomic<bool>& is_streaming_;
  MessageTimes& times_;
  bool is_stopping_ = false;
  std::unique_ptr<messages::MessageStream> rows_;   // of the stream
  std::unordered_set<std::string> foreign_tables_;  // that were named in the log
  std::uint64_t body_bytes_max_ = 0;
  std::optional<Lsn> limits_of_;  // the commit of the transaction for which that holds
  struct Skips {
    Time logged_at{};
    std::uint64_t since = 0;  // that were not logged
  };
  std::unordered_map<std::string_view, Skips> skips_;  // by reason

  WorkersRoom room_;
  SlotStream stream_;  // destroyed first: it calls all of this
};

}  // namespace rt::database
