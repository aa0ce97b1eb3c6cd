#include "io/store/postgres_store.h"

#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "io/store/database.h"
#include "io/store/postgres_replica.h"
#include "io/store/postgres_schema.h"
#include "io/store/postgres_session.h"

namespace rt::store {
namespace {

// Any number that no other program is likely to lock.
constexpr const char* kLockMigrations = "SELECT pg_advisory_xact_lock(7305790137141841015)";

// The first lock is for a tenant that is not there yet, against other nodes; the second is one that any other server
// has to wait for.
const Dialect kDialect{.now = "now() AT TIME ZONE 'UTC'",
                       .before_time = "to_char(",
                       .behind_time = ", 'YYYY-MM-DD\"T\"HH24:MI:SS')",
                       .lock_tenant = {"SELECT pg_advisory_xact_lock(hashtext('realtime tenant'), hashtext($1))",
                                       "SELECT 1 FROM tenants WHERE external_id = $1 FOR UPDATE"}};

// All of it takes effect or nothing.
Result<void> in_transaction(PostgresSession& session, const Database::Work& work) {
  if (const auto begun = session.execute("BEGIN"); !begun) return begun;
  auto done = work();
  if (done) return session.execute("COMMIT");
  if (!session.is_broken()) std::ignore = session.execute("ROLLBACK");
  return done;
}

// In a transaction, under the locks that keep other nodes and the reference server out.
Result<void> migrate(PostgresSession& session) {
  for (const char* sql : {kLockMigrations,
                          "CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY, "
                          "inserted_at timestamp(0) without time zone)",
                          "LOCK TABLE schema_migrations IN SHARE UPDATE EXCLUSIVE MODE"}) {
    if (const auto ran = session.execute(sql); !ran) return ran;
  }
  std::string known;
  for (const std::string_view version : kControlVersions) known.append(known.empty() ? "" : ",").append(version);
  std::int64_t all = 0;
  std::int64_t ours = 0;
  const auto counted =
      session.run("SELECT count(*), count(*) FILTER (WHERE version IN (" + known + ")) FROM schema_migrations", {},
                  "reading the versions of", [&](Row& row) {
                    all = row.integer();
                    ours = row.integer();
                  });
  if (!counted) return tl::make_unexpected(counted.error());
  constexpr auto kVersions = static_cast<std::int64_t>(std::size(kControlVersions));
  if (ours == kVersions) return {};
  if (all > 0) {
    return session.refused("the control database has " + std::to_string(ours) + " of " + std::to_string(kVersions) +
                           " migrations: bring this database to " + std::to_string(kVersions) +
                           " with the previous server first, or give this one an empty schema");
  }
  if (const auto made = session.execute(kControlTables); !made) return made;
  std::string rows;
  for (const std::string_view version : kControlVersions)
    rows.append(rows.empty() ? "(" : ",(").append(version).append(", now() AT TIME ZONE 'UTC')");
  return session.execute("INSERT INTO schema_migrations (version, inserted_at) VALUES " + rows);
}

class PostgresDatabase final : public Database {
 public:
  PostgresDatabase(const PostgresConfig& config, Log& log) : primary_(config, "supabase_mt_realtime") {
    if (config.replica_host.empty()) return;
    PostgresConfig of_replica = config;
    of_replica.host = config.replica_host;
    replica_.emplace(of_replica, log);
  }

  const Dialect& dialect() const override { return kDialect; }

  Result<void> set_up() override {
    return with(Access::kWrite, [this] { return migrate(primary_); });
  }

  Result<void> with(Access access, const Work& work) override {
    if (access == Access::kRead && replica_ && read_replica(work)) return {};
    auto done = with_primary(access, work);
    if (done && replica_) remember_position();
    return done;
  }

  Result<std::int64_t> run(const std::string& sql, const Parameters& parameters, std::string_view doing,
                           const OnRow& on_row) override {
    return active_->run(sql, parameters, doing, on_row);
  }

  // Others may write at any time, and nothing tells.
  Result<bool> has_changed() override { return true; }
  bool is_shared() const override { return true; }
  Failure last_failure() const override { return primary_.last_failure(); }
  void interrupt() override {
    primary_.interrupt();
    if (replica_) replica_->session().interrupt();
  }

 private:
  Result<void> with_primary(Access access, const Work& work) {
    for (bool is_second = false;; is_second = true) {
      if (const auto ready = primary_.prepare(); !ready) return ready;
      auto done = access == Access::kRead ? work() : in_transaction(primary_, work);
      if (done || is_second || !primary_.is_broken() || primary_.is_interrupted()) return done;
    }
  }

  // False: it could not be done there, and nothing has come of it.
  bool read_replica(const Work& work) {
    if (!position_ || !replica_->is_fit(*position_)) return false;
    active_ = &replica_->session();
    const auto done = work();
    active_ = &primary_;
    if (!done) replica_->rest(done.error());
    return done.has_value();
  }

  // How far the primary's log goes that we have seen.
  void remember_position() {
    position_.reset();
    std::ignore = primary_.run("SELECT pg_current_wal_insert_lsn()", {}, "reading the position of",
                               [this](Row& row) { position_ = row.text(); });
  }

  PostgresSession primary_;
  PostgresSession* active_ = &primary_;  // where statements go
  std::optional<PostgresReplica> replica_;
  std::optional<std::string> position_;
};

}  // namespace

std::unique_ptr<ControlStore> make_postgres_store(const PostgresConfig& config, Log& log) {
  return std::make_unique<ControlStore>(std::make_unique<PostgresDatabase>(config, log));
}

}  // namespace rt::store
