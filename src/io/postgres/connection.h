// A connection to a Postgres server that never blocks: batches go out as soon as they are asked for, many may be
// under way at a time, and their answers come in the same order (libpq's pipeline mode).
//
// https://www.postgresql.org/docs/15/libpq-pipeline-mode.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "io/postgres/batch.h"
#include "io/postgres/canceller.h"
#include "io/postgres/resolver.h"
#include "io/postgres/settings.h"
#include "io/postgres/task.h"

namespace rt::postgres {

// They outlive the connections.
struct Surroundings {
  boost::asio::io_context& io;
  Resolver& resolver;
  Canceller& canceller;
};

class Connection {  // loop-bound
 public:
  // Statements that are kept prepared; what comes after them is sent as text.
  static constexpr std::size_t kPreparedMax = 100;
  // After as many rows or other answers the loop has its turn.
  static constexpr int kAnswersPerTurn = 256;

  // Cancelled: kCancelled, soon.
  static Task<Result<std::unique_ptr<Connection>>> open(Surroundings surroundings, ConnectionSettings settings,
                                                        OnNotice on_notice = {},
                                                        std::shared_ptr<Cancellation> cancellation = nullptr);
  // What is under way is answered with kConnectionLost.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The batch is sent before this first waits, behind those before it.
  Task<BatchReply> run(Batch batch);
  // The same for one that is rolled back, in sections: the error of one is not that of the others.
  Task<SectionsReply> run_sections(Batch batch);

  // Who has it for himself may leave transactions and settings in it, between this and a reset.
  void begin_exclusive_use();
  // Ends the open transaction, discards all that a session can hold, and then has the server confirm it: no other role,
  // setting, prepared statement, cursor, advisory lock, temporary table or channel listened to. After an error the
  // connection is closed.
  Task<Result<void>> reset();

  bool is_open() const;
  bool is_in_transaction() const;
  std::size_t batches_under_way() const;
  ServerInfo server() const;
  // Once, when it ends for another reason than close() or the destructor; also while nothing is under way.
  void set_on_lost(std::function<void(const PgError&)> on_lost);
  void close();

  struct Impl;  // libpq and Asio live there

 private:
  explicit Connection(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace rt::postgres
