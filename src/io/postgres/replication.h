// A walsender session: SQL and replication commands one after the other, then a stream in both directions.
//
// Manual, 55.4: the commands go by the simple query protocol; after START_REPLICATION each message is a CopyData. What
// is in them is for who calls.
//
// https://www.postgresql.org/docs/15/protocol-replication.html
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "io/postgres/connection.h"
#include "io/postgres/error.h"
#include "io/postgres/rows.h"
#include "io/postgres/settings.h"
#include "io/postgres/task.h"

namespace rt::postgres {

class ReplicationConnection {  // loop-bound; one waits at a time
 public:
  // After as many messages the loop has its turn.
  static constexpr std::size_t kMessagesPerTurn = 256;

  // `settings.kind` need not be set. Cancelled: kCancelled, soon.
  static Task<Result<std::unique_ptr<ReplicationConnection>>> open(
      Surroundings surroundings, ConnectionSettings settings, std::shared_ptr<Cancellation> cancellation = nullptr);
  ~ReplicationConnection();
  ReplicationConnection(const ReplicationConnection&) = delete;
  ReplicationConnection& operator=(const ReplicationConnection&) = delete;

  // The rows of the last statement of `command`; more than 512 MiB are an error that ends the session. Another error of
  // the server leaves the session as it is; when the deadline has passed the connection is closed: kTimeOut.
  Task<Result<Rows>> query(std::string command, Time deadline);
  // START_REPLICATION. Afterwards there is only the stream.
  Task<Result<void>> start(std::string command, Time deadline);

  // A warning of the output plugin that the publication is not there (Postgres 18) ends it like an error.
  //
  // Hands on what has come or, where that is nothing, waits for more until `until` or the next wake(). Returns how many
  // messages it has handed on; none may be early. The bytes are valid during the call, which says whether the next may
  // follow in this turn. A single message may have up to 1 GB, which is what Postgres allows a field to have; as much
  // is held in memory then.
  enum class Go : std::uint8_t { kOn, kNotYet };
  using OnMessage = std::function<Go(std::string_view)>;
  Task<Result<std::size_t>> receive(Time until, const OnMessage& on_message);
  // Begins to send; what fails is told by receive().
  void send(std::string_view message);
  // Lets receive() return; before one, the next.
  void wake();
  // Who waits gets kConnectionLost.
  void close();
  bool is_open() const;
  ServerInfo server() const;

 private:
  struct Impl;
  explicit ReplicationConnection(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace rt::postgres
