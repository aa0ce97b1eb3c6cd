// A session with Postgres of our own, by libpq, that blocks: what it takes is a part of what is measured, so it is no
// program that has to be started first.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct pg_conn;  // libpq's PGconn

namespace rt {
struct Libpq;
}

namespace rt::load {

class SqlSession {
 public:
  static Result<SqlSession> connect(const std::string& connection_string);

  // Returns when the statements are done.
  Result<void> run(const std::string& statements);
  // The same in two parts, for who has something to do meanwhile.
  Result<void> begin(const std::string& statements);
  Result<void> finish();

  // After START_REPLICATION: what comes, until it ends. That is an error.
  Result<void> read_stream(const std::function<void(std::string_view)>& on_message);
  Result<void> send_to_stream(std::string_view message);

 private:
  using Connection = std::unique_ptr<pg_conn, void (*)(pg_conn*)>;

  SqlSession(const Libpq& libpq, Connection connection) : libpq_(&libpq), connection_(std::move(connection)) {}
  tl::unexpected<Error> failed() const;

  const Libpq* libpq_;
  Connection connection_;
};

}  // namespace rt::load
