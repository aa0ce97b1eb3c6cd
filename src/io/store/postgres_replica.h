// A copy of the control database that is nearer than the primary: a streaming standby of it.
//
// It may be behind. What this node has seen once has to be seen by all its later reads, or a change would be undone and
// done again here, so the copy is read only when it has replayed as much of the primary's log as this node knows of.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/log.h"
#include "io/store/postgres_session.h"

namespace rt::store {

class PostgresReplica {
 public:
  // A copy that cannot be used is not tried again for this long.
  static constexpr std::chrono::seconds kRest{10};
  static constexpr std::chrono::seconds kConnectTimeout{2};  // reads wait for it

  // `config.host` is that of the replica. `log` must outlive it.
  PostgresReplica(PostgresConfig config, Log& log);

  // Whether it can be read now; `position` is that of the primary's log (pg_lsn) that it has to have replayed.
  bool is_fit(const std::string& position);
  // Something went wrong with it: it is left alone for a while.
  void rest(const Error& error);

  PostgresSession& session() { return session_; }

 private:
  Result<std::optional<bool>> has_replayed(const std::string& position);

  PostgresSession session_;
  const std::string host_;
  Log& log_;
  enum class State { kUnknown, kUsed, kResting } state_ = State::kUnknown;  // as the log has it
  std::chrono::steady_clock::time_point rest_until_;
};

}  // namespace rt::store
