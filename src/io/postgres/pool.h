// The connections to one database: opened when they are needed, closed when idle, opened again when they are lost.
//
// A session in which nothing can be written is closed once a statement has failed of it.
//
// Batches of all callers are pipelined on as few connections as will do. Nothing is sent a second time: who loses a
// connection with a batch under way is told whether it can have been executed.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/random.h"
#include "io/postgres/backoff.h"
#include "io/postgres/connection.h"

namespace rt::postgres {

struct PoolConfig {
  std::size_t connections_max = 1;
  std::size_t pipeline_max = 64;                   // batches under way on one connection
  std::size_t waiting_max = 1'000;                 // more: kQueueFull
  std::chrono::milliseconds wait_timeout{5'000};   // for a place on a connection: kNoConnection
  std::chrono::milliseconds idle_timeout{60'000};  // a connection that nobody uses is closed
  BackoffConfig reconnect{};
};

struct PoolCounters {
  std::uint64_t opened = 0;
  std::uint64_t open_failures = 0;
  std::uint64_t lost = 0;       // connections that ended on their own
  std::uint64_t discarded = 0;  // of these, sessions that could not be reset
  std::uint64_t waits = 0;      // callers that had to wait
  std::uint64_t refused = 0;    // kQueueFull
  std::uint64_t timed_out = 0;  // kNoConnection
};

// A connection for oneself. Given back by the destructor; it is reset, verified, before anybody else gets it. It ends
// before the pool does.
class Lease {
 public:
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  Connection& operator*() const { return *connection_; }
  Connection* operator->() const { return connection_.get(); }

 private:
  friend class Pool;
  Lease(std::shared_ptr<Connection> connection, std::function<void()> give_back)
      : connection_(std::move(connection)), give_back_(std::move(give_back)) {}

  std::shared_ptr<Connection> connection_;
  std::function<void()> give_back_;
};

class Pool {  // loop-bound
 public:
  // The texts of what fails outside of any call: lost connections, failed attempts. For the log.
  using OnTrouble = std::function<void(const PgError&)>;

  Pool(Surroundings surroundings, ConnectionSettings settings, const PoolConfig& config, const Clock& clock,
       Random& random, OnNotice on_notice = {}, OnTrouble on_trouble = {});
  // Only after stop() has ended, or before the pool was used.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // One batch, on whichever connection. Errors that no statement made: kQueueFull, kNoConnection, kStopped, and those
  // that last until somebody changes something (is_lasting()) at once, when a connection is needed and cannot be had.
  Task<BatchReply> run(Batch batch);
  Task<SectionsReply> run_sections(Batch batch);

  Task<Result<Lease>> lease(std::shared_ptr<Cancellation> cancellation = nullptr);

  // BEGIN, what `body` does, and COMMIT if that gives no error, else ROLLBACK. Where a commit was sent and its answer
  // got lost, the error says outcome_unknown. `body` is a coroutine function; what it captures lives until it ends.
  using Body = std::function<Task<Result<void>>(Connection&)>;
  Task<Result<void>> transaction(Body body);

  // Answers who waits with kStopped, closes all connections and ends when nobody uses the pool any more.
  Task<void> stop();

  std::size_t connections() const;  // open, or being opened
  std::size_t open_connections() const;
  std::size_t waiting() const;
  const PoolCounters& counters() const;
  // Of the last attempt to connect; empty message: it succeeded.
  const PgError& last_failure() const;
  // Of any open connection; version 0: there is none.
  ServerInfo server() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rt::postgres
