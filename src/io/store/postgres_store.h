// The control store in a Postgres database, which other nodes and the reference server may share.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/log.h"
#include "io/store/resolve.h"
#include "io/store/store.h"

namespace rt::store {

struct PostgresConfig {
  std::string host = "127.0.0.1";
  std::string port = "5432";
  std::string user = "supabase_admin";
  std::string password = "postgres";
  std::string database = "postgres";
  std::string after_connect_query;  // on each new connection; empty: none. Chooses the schema, as a rule
  bool uses_tls = false;
  std::string ca_file;  // verifies the server's certificate; empty: it is not verified
  AddressFamily family = AddressFamily::kAny;
  std::chrono::milliseconds connect_timeout{5'000};  // for each address of the host
  // Of a streaming standby, with the same port and login: what only reads goes there; empty: there is none.
  std::string replica_host;
};

// Does not connect yet: set_up() does. A database that an older server brought half the way is refused. The errors name
// the host and what to do, never the password. The log is told when the replica is used and when not; it must outlive
// the store.
std::unique_ptr<ControlStore> make_postgres_store(const PostgresConfig& config, Log& log);

}  // namespace rt::store
