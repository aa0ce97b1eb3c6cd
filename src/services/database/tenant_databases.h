// The databases of all tenants, on a thread of their own.
//
// A database is connected to on the first question, and let go of when nobody has needed it for a while, when it is
// another one, or when the tenant is suspended or gone. This node is the home of every tenant that has a client here;
// in a cluster there will be one for each, which is asked through the same door.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "model/rights_question.h"
#include "model/tenant.h"
#include "services/database/tenant_database.h"

namespace rt::database {

// When old partitions are dropped (tenants.md 9).
struct JanitorConfig {
  std::chrono::milliseconds first{14'400'000 + 600'000};
  std::chrono::milliseconds every{14'400'000};
  bool adds_random_minutes = true;  // 1 to 59 each time
};

struct TenantDatabasesConfig {
  TenantDatabaseConfig each;
  MessageFeedConfig messages;
  ChangeFeedConfig changes;
  std::optional<JanitorConfig> janitor;  // nullopt: they stay
  std::size_t migrations_max = 4;        // at a time
};

struct DatabaseHealth {
  bool has_database = false;  // the tenant has one
  bool is_connected = false;
  bool is_streaming = false;  // messages come as they are committed
};

class TenantDatabases {
 public:
  // What others know; all of it thread-safe.
  struct Surroundings {
    std::function<std::shared_ptr<const TenantRecord>(std::string_view external_id)> find;  // null: there is none
    std::function<std::int64_t(std::string_view external_id)> users;                        // connected now
    // So many migrations are in its database, which is not what its record says. On the thread of the databases;
    // `done` is called, from any thread, once the record says so or cannot.
    std::function<void(const std::string& external_id, std::int64_t migrations, std::function<void()> done)>
        on_migrations;
    // Nobody needs its database any more, so who comes next has to say so by want(). Before users() is asked again.
    std::function<void(const std::string& external_id)> on_vacant;
    MessageSink messages;
    ChangeSink changes;
  };
  using Answer = std::function<void(RightsAnswer)>;

  // All references outlive it.
  TenantDatabases(const TenantDatabasesConfig& config, Surroundings surroundings, const tenants::Encryption& encryption,
                  const Clock& clock, Random& random, Log& log);
  ~TenantDatabases();
  TenantDatabases(const TenantDatabases&) = delete;
  TenantDatabases& operator=(const TenantDatabases&) = delete;

  void start();
  // Who still waits for an answer gets none. Nothing of the surroundings is called any more once it has returned.
  void stop();

  // --- From any thread. Answers come once, on the thread of the databases. ---

  void ask(std::string_view external_id, RightsQuestion question, Answer answer);
  // It has users, who may be told messages of its database. Keeps to it until there have been none for a while.
  void want(std::string_view external_id);
  // What want() is for works: cheap.
  bool is_streaming(std::string_view external_id) const;
  void replay(std::string_view external_id, ReplayQuestion question, AnswerReplay answer);
  // A channel wants row changes, or others than before; it is told by the sink what becomes of that. Until it does not
  // want them any more.
  void subscribe(std::string_view external_id, ChangesQuestion question);
  void unsubscribe(std::string_view external_id, ChangesId id);

  // Its record has changed, or is gone: what is connected is not what it should be. Questions after this go by the new
  // record. Where it is gone, or suspended, its database is left without slots; `former` says where that is.
  void changed(const std::string& external_id, std::shared_ptr<const TenantRecord> former);
  // Ends the connection; the next question opens another one. `done` is called once it has ended.
  void disconnect(const std::string& external_id, std::function<void()> done);
  // Waits up to 15 s for a connection that is being made; makes none.
  void health(const std::string& external_id, std::function<void(DatabaseHealth)> done);
  // Brings its schema up to date, on a connection for just that, and drops old messages where that is asked for. The
  // error is for the log, and is there already. A tenant without a database needs nothing. `done`: on any thread.
  enum class OldMessages : std::uint8_t { kStay, kAreDropped };
  // Who asks for it while it is being done already has the same answer.
  void prepare(const std::string& external_id, OldMessages old, std::function<void(Result<void>)> done);

  const DatabaseCounters& counters() const { return counters_; }
  // Of tenants whose database was connected to, in no order.
  struct Meter {
    std::string external_id;
    std::shared_ptr<const DatabaseState> state;
  };
  std::vector<Meter> meters() const;
  // By the region of the tenant, and by what went wrong: a condition of Postgres, `connection_error` or `other`.
  void visit_migrations(const std::function<void(std::string_view region, const HistogramCounts&)>& done,
                        const std::function<void(std::string_view error, std::uint64_t)>& failed) const;

 private:
  struct Loop;  // Asio lives there
  struct Tenant;
  class Cancellable;

  using TenantRef = std::shared_ptr<Tenant>;
  using Prepared = std::function<void(Result<void>)>;

  const TenantRef& tenant(const std::string& external_id);
  void ask_now(const std::string& external_id, RightsQuestion question, Answer answer);
  Result<std::optional<TenantSettings>> settings_of_tenant(const std::string& external_id) const;
  TenantDatabase* connection_of(const std::string& external_id, Tenant& tenant, RightsFault& why_not);
  void let_go_if_given_up(const std::string& external_id);
  void let_go(const TenantRef& tenant, SlotStream::Slot slot, std::function<void()> done);
  postgres::Task<void> end(TenantRef tenant, std::unique_ptr<TenantDatabase> database, SlotStream::Slot slot);
  void let_go_if_vacant(const std::string& external_id, const TenantRef& tenant);
  void open_again(const std::string& external_id, Tenant& tenant);
  void subscribe_now(const std::string& external_id, ChangesQuestion question);
  void tell_changes_fail(const Tenant& tenant, std::string_view text);
  void open_for_changes_later(const std::string& external_id, const TenantRef& tenant);
  postgres::Task<void> open_for_changes(std::string external_id, TenantRef tenant);
  postgres::Task<void> drop_slots_of(std::string external_id, TenantSettings settings, std::string name);
  void drop_left_slot(const std::string& external_id, Tenant& tenant);
  postgres::Task<void> tell_health(std::string external_id, std::function<void(DatabaseHealth)> done);
  postgres::Task<void> prepare_now(std::string external_id, OldMessages old);
  void answer_prepared(const std::string& external_id, const Result<void>& result);
  postgres::Task<void> every_minute();
  postgres::Task<void> clean();
  postgres::Task<void> keep_messages(std::string external_id, OldMessages old);
  postgres::Task<void> end_all();
  void note_opened(const std::string& external_id, const Opening& opening, std::function<void()> done);
  void note_migrations(const std::string& external_id, std::int64_t found, std::int64_t now,
                       std::function<void()> done);
  void note_failed(const std::string& external_id, const OpeningFault& fault);
  void log(LogLevel level, std::string_view external_id, std::string_view code, const std::string& text) const;

  const TenantDatabasesConfig config_;
  const Surroundings surroundings_;
  const tenants::Encryption& encryption_;
  const Clock& clock_;
  Random& random_;
  Log& log_;
  DatabaseCounters counters_;
  mutable std::mutex mutex_;  // of the two below
  struct HashOfName {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  std::unordered_map<std::string, std::shared_ptr<DatabaseState>, HashOfName, std::equal_to<>> states_;
  struct Migrations;
  std::unique_ptr<Migrations> migrations_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace rt::database
