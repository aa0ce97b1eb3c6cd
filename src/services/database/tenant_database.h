// The connection to one tenant's database, from the first question to the last client.
//
// It begins with a look at the database (opening.h), which may take long where the schema has to be made; who asks
// meanwhile waits. After that there is a pool, and the policies are asked over it. A connection that is lost is opened
// again for as long as the recovery window lasts. Nothing is asked of a database that nobody needs.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "io/postgres/pool.h"
#include "io/postgres/task_group.h"
#include "model/rights_question.h"
#include "services/database/change_desk.h"
#include "services/database/change_feed.h"
#include "services/database/message_feed.h"
#include "services/database/message_replay.h"
#include "services/database/opening.h"
#include "services/database/policy_checks.h"
#include "services/database/recent_failures.h"
#include "services/database/tenant_settings.h"

namespace rt::database {

struct TenantDatabaseConfig {
  std::chrono::milliseconds ready_timeout{15'000};  // how long a question waits for the connection to be made
  std::chrono::seconds recovery_window{600};        // a connection that is lost is given up after so long
  std::chrono::seconds partition_interval{6 * 3600};
  int vacant_minutes_max = 12;                            // without clients and questions; then the connection ends
  PolicyMethod policy_method = PolicyMethod::kProbes;     // of tenants that do not say
  std::size_t waiting_max = 10'000;                       // questions that wait for the connection; more are refused
  std::size_t waiting_bytes_max = std::size_t{64} << 20;  // likewise
  std::size_t replay_bytes_max = std::size_t{128} << 20;  // messages that are replayed, of all tenants together
};

// Failures of one tenant's database, which outlive its connection. Both close by themselves.
struct Breakers {
  static constexpr std::size_t kConnectFailures = 3;
  static constexpr std::chrono::seconds kConnectWindow{5};
  static constexpr std::chrono::seconds kGivenUpWindow{30};

  RecentFailures connecting{kConnectFailures, kConnectWindow};
  RecentFailures given_up{1, kGivenUpWindow};  // questions; as many as the pool has connections
};

// What is known of one tenant's database from outside. Written by its thread, read by anyone.
struct DatabaseState {
  std::atomic<bool> is_connected{false};
  std::atomic<int> partition_days_ahead{0};
  std::atomic<bool> is_streaming{false};  // messages come as they are committed
  CheckTimes checks;
  MessageTimes messages;
  ReplayTimes replays;
  ChangeMeters changes;
};

struct DatabaseCounters {
  PolicyCounters policies;
  MessageFeedCounters messages;
  ReplayCounters replays;
  ChangeFeedCounters changes;
  Counter connected;  // databases, now
  Counter opened;
  Counter failures;  // attempts to connect
  Counter refused;   // questions, because of a breaker or a queue in front of the connection
  Counter lost;      // connections
  Counter partition_failures;
};

// What databases have in common. All of it outlives them.
struct DatabaseParts {
  postgres::Surroundings surroundings;
  const Clock& clock;
  Random& random;
  Log& log;
  Slots& migrating;
  DatabaseCounters& counters;
  TenantDatabaseConfig config;
  MessageFeedConfig messages{};
  ChangeFeedConfig changes{};
  const MessageSink* sink = nullptr;  // null: nobody wants messages; of the next two there have to be some otherwise
  const ChangeSink* change_sink = nullptr;  // null: nobody wants row changes
  std::function<std::shared_ptr<const TenantRecord>(std::string_view tenant)> find{};
  std::function<std::int64_t(std::string_view tenant)> users{};
  // The schema of the tenant's database was looked at; from the loop.
  std::function<void(const std::string& tenant, const Opening& opening)> on_opened;
  std::function<void(const std::string& tenant, const OpeningFault& fault)> on_failed;
  std::shared_ptr<ReplayRoom> replay_room = std::make_shared<ReplayRoom>(config.replay_bytes_max);
};

class TenantDatabase {  // loop-bound
 public:
  using Answer = PolicyChecks::Answer;
  struct Waiting {
    RightsQuestion question;
    Answer answer;
    Time since;
  };

  // `on_end` is called, once and on the loop, when it has given up: it has to be stopped then, later.
  TenantDatabase(const DatabaseParts& parts, std::string tenant, TenantSettings settings,
                 std::shared_ptr<Breakers> breakers, std::shared_ptr<DatabaseState> state,
                 std::shared_ptr<FeedMemory> memory, std::shared_ptr<ChangeDesk> desk,
                 std::shared_ptr<SlotMemory> changes_memory, std::function<void()> on_end);
  ~TenantDatabase();
  TenantDatabase(const TenantDatabase&) = delete;
  TenantDatabase& operator=(const TenantDatabase&) = delete;

  void ask(RightsQuestion question, Answer answer);
  // Who asks has just been told its rights, so nobody waits for the connection here.
  void replay(ReplayQuestion question, AnswerReplay answer);
  // The desk has somebody new, or who wants something else, or is without somebody.
  void subscribe(ChangesId id);
  void unsubscribe(ChangesId id);
  bool is_connected() const { return stage_ == Stage::kReady && !is_recovering_; }
  bool is_opening() const { return stage_ == Stage::kOpening; }
  // While it is being opened: set when it no longer is, at the latest by stop().
  std::shared_ptr<postgres::Event> settling();
  bool has_given_up() const { return stage_ == Stage::kFailed; }

  // Called every minute, with the number of clients. True: nobody has needed it for so long that it should be stopped.
  bool is_vacant_after_minute(std::int64_t users);
  // It is time to look whether there are partitions for the next days.
  bool needs_partitions() const;
  void note_partitions(const postgres::Result<postgres::PartitionUpkeep>& upkeep);

  // Those who wait for it to be connected, for somebody else to take care of.
  std::deque<Waiting> take_waiting() { return std::exchange(waiting_, {}); }
  const TenantSettings& settings() const { return settings_; }
  // Answers who waits and closes everything; a cancellation lets a slot stay that was to be dropped. Nothing else may
  // be called from then on.
  postgres::Task<void> stop(SlotStream::Slot slot, std::shared_ptr<postgres::Cancellation> cancellation);

 private:
  enum class Stage : std::uint8_t { kOpening, kReady, kFailed, kStopping };

  postgres::Task<void> open();
  postgres::Task<void> give_up_waiting();
  postgres::Task<void> recover();
  void become_ready(const Opening& opening);
  void begin_replay();
  void begin_feed();
  void begin_changes(const std::string& superuser);
  void fail(const OpeningFault& fault);
  void on_trouble(const postgres::PgError& error);
  void answer_waiting(const RightsFault& fault);
  void set_connected(bool is_connected);
  void settle();
  void log(LogLevel level, std::string_view code, const std::string& text) const;
  void end();

  const DatabaseParts& parts_;
  const std::string tenant_;
  const TenantSettings settings_;
  const std::shared_ptr<Breakers> breakers_;
  const std::shared_ptr<DatabaseState> state_;
  const std::shared_ptr<FeedMemory> memory_;
  const std::shared_ptr<ChangeDesk> desk_;
  const std::shared_ptr<SlotMemory> changes_memory_;
  std::function<void()> on_end_;
  Stage stage_ = Stage::kOpening;
  std::deque<Waiting> waiting_;  // for it to be ready
  int vacant_minutes_ = 0;
  Time partitions_due_{};
  bool is_recovering_ = false;
  Time recovered_at_{};
  std::chrono::milliseconds recovery_pause_{};  // before the next attempt
  std::string recovery_failure_;                // of the last attempt; empty: there was none yet
  const std::shared_ptr<postgres::Cancellation> cancellation_ = std::make_shared<postgres::Cancellation>();
  std::size_t waiting_bytes_ = 0;                           // more than they have, once some were given up
  postgres::Event settled_;                                 // it is no longer being opened
  std::vector<std::shared_ptr<postgres::Event>> settling_;  // the same, for others
  postgres::Event stopped_;                                 // for recover()
  std::unique_ptr<postgres::Pool> pool_;
  std::unique_ptr<PolicyChecks> checks_;
  std::unique_ptr<MessageFeed> feed_;
  std::unique_ptr<ChangeFeed> changes_;
  std::unique_ptr<MessageReplay> replay_;
  postgres::TaskGroup group_;
};

}  // namespace rt::database
