#include "io/store/postgres_replica.h"

#include <utility>

namespace rt::store {
namespace {

PostgresConfig patient(PostgresConfig config) {
  config.connect_timeout = PostgresReplica::kConnectTimeout;
  return config;
}

}  // namespace

PostgresReplica::PostgresReplica(PostgresConfig config, Log& log)
    : session_(patient(config), "supabase_mt_realtime_ro"), host_(std::move(config.host)), log_(log) {}

bool PostgresReplica::is_fit(const std::string& position) {
  if (std::chrono::steady_clock::now() < rest_until_) return false;
  const auto replayed = has_replayed(position);
  if (!replayed) {
    rest(replayed.error());
    return false;
  }
  if (!*replayed) {
    rest({"it is no standby of the control database"});
    return false;
  }
  if (**replayed && std::exchange(state_, State::kUsed) != State::kUsed)
    log_.info("reading the control store from its replica " + host_);
  return **replayed;
}

// nullopt: it replays nothing (any more: what was a standby once still has a position). A connection may have been lost
// since it was used last.
Result<std::optional<bool>> PostgresReplica::has_replayed(const std::string& position) {
  for (bool is_second = false;; is_second = true) {
    if (const auto ready = session_.prepare(); !ready) return tl::make_unexpected(ready.error());
    std::optional<bool> replayed;
    const auto asked =
        session_.run("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= $1 END", {position},
                     "reading the position of", [&replayed](Row& row) { replayed = row.optional_boolean(); });
    if (asked) return replayed;
    if (is_second || !session_.is_broken()) return tl::make_unexpected(asked.error());
  }
}

void PostgresReplica::rest(const Error& error) {
  rest_until_ = std::chrono::steady_clock::now() + kRest;
  if (std::exchange(state_, State::kResting) == State::kResting) return;
  log_.warning("the replica " + host_ + " cannot be used, the primary is read instead: " + error.message);
}

}  // namespace rt::store
