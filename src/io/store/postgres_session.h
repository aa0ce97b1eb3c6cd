// A connection to a Postgres server that blocks: it connects where it has to, sends a statement and waits for its rows.
//
// The names that a host has are resolved here, because which family of addresses to take is a setting. libpq, which
// brings megabytes of libraries for LDAP and Kerberos along, is loaded when the first session connects.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/store/database.h"
#include "io/store/postgres_store.h"

struct pg_conn;    // libpq's PGconn
struct pg_result;  // libpq's PGresult

namespace rt {
struct Libpq;  // the functions of it that we use
}

namespace rt::store {

class PostgresSession {
 public:
  // `application_name` is what the server shows of it.
  PostgresSession(PostgresConfig config, std::string application_name);
  ~PostgresSession();
  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;

  // Connects where there is no connection.
  Result<void> prepare();
  bool is_broken() const;

  // Several statements, without parameters and rows.
  Result<void> execute(const std::string& sql);
  // One statement. Gives how many rows it has changed.
  Result<std::int64_t> run(const std::string& sql, const Parameters& parameters, std::string_view doing,
                           const Database::OnRow& on_row);

  Failure last_failure() const { return failure_; }
  // The failure of who finds that the database is not what it should be.
  tl::unexpected<Error> refused(const std::string& why) {
    failure_ = Failure::kRefused;
    return fail(why);
  }
  // From any thread, for good.
  void interrupt() { interrupted_ = true; }
  bool is_interrupted() const { return interrupted_; }

 private:
  using Rows = std::unique_ptr<pg_result, void (*)(pg_result*)>;
  using Connection = std::unique_ptr<pg_conn, void (*)(pg_conn*)>;

  Result<void> connect();
  // An empty address: the host is no name but the directory of a socket. The error is libpq's, or that time is up.
  Result<void> connect_to(const std::string& address);
  bool wait_for_connection();
  bool is_up(const std::string& address) const;
  Result<void> set_session();
  Result<Rows> finish(int sent, std::string_view doing);
  Result<Rows> wait_for_rows(std::string_view doing);
  tl::unexpected<Error> give_up(std::string_view doing);
  tl::unexpected<Error> failed(Failure failure, std::string_view doing, std::string_view why);
  tl::unexpected<Error> lost(std::string_view doing);
  std::string where() const;

  const PostgresConfig config_;
  const std::string application_name_;
  const Libpq* libpq_ = nullptr;  // once it is loaded, for good
  Connection connection_;
  Failure failure_ = Failure::kUnavailable;
  std::atomic<bool> interrupted_{false};
};

}  // namespace rt::store
