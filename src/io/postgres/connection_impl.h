// The inside of a Connection. Only files of this folder include this.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/postgres/connection.h"
#include "io/postgres/event.h"
#include "libpq/libpq.h"

namespace rt::postgres {

using Descriptor = boost::asio::posix::stream_descriptor;

// The login, by all addresses of the host. Never blocks.
Task<Result<PgConn>> connect(Surroundings surroundings, const ConnectionSettings& settings,
                             std::shared_ptr<Cancellation> cancellation);

// A statement that the server knows by name, once its turn has come.
struct Prepared {
  std::string name;
  std::optional<PgError> failure{};  // it does not, for this reason
};

struct Request {
  Request(boost::asio::io_context& io, Batch what) : batch(std::move(what)), answered(io) {}

  Batch batch;
  std::vector<Rows> results;
  std::optional<PgError> error{};
  bool in_sections = false;
  std::vector<std::optional<PgError>> errors{};  // in sections: of each statement
  int failed = -1;                               // likewise: the last one that did
  std::size_t rows = 0;
  std::size_t bytes = 0;
  bool is_sent = false;
  bool is_abandoned = false;  // it has been answered, and the server does not know
  bool is_cancelled = false;  // the server has been asked to
  bool has_strayed = false;   // one of its statements began or ended a transaction, or its own end failed
  Event answered;
};

// An answer that the server owes us.
struct Owed {
  enum class What : std::uint8_t { kPrepared, kOwnStatement, kStatement, kSync, kLastSync };

  What what;
  std::shared_ptr<Request> request;
  int statement = -1;
  std::shared_ptr<Prepared> prepared{};
  bool row_by_row = false;
};

struct Connection::Impl : std::enable_shared_from_this<Impl> {
  Impl(const Surroundings& surroundings, ConnectionSettings how, PgConn connection, OnNotice notices);

  bool in_loop_thread() const { return io.get_executor().running_in_this_thread(); }
  void start();
  void submit(const std::shared_ptr<Request>& request);
  Task<void> execute(std::shared_ptr<Request> request);
  void cancel(const std::shared_ptr<Request>& request);
  void lose(const PgError& error);
  void close();
  ServerInfo server() const;
  bool is_idle_in_server() const { return pq.PQtransactionStatus(conn.get()) == PQTRANS_IDLE; }

  // --- Sending
  void send_waiting();
  bool send(const std::shared_ptr<Request>& request);
  bool send_statement(const std::shared_ptr<Request>& request, int index);
  bool send_text(const std::shared_ptr<Request>& request, Owed::What what, const Statement& statement, int index);
  bool send_own(const std::shared_ptr<Request>& request, const char* sql);
  bool send_sync(const std::shared_ptr<Request>& request, Owed::What what);
  bool prepare_all(const std::shared_ptr<Request>& request);
  void flush();

  // --- Receiving
  void wait_readable();
  void wait_writable();
  void on_readable();
  // False: nothing was complete.
  bool read_answers();
  void check_incomplete();
  void take(PGresult* result);
  void take_rows(PGresult* result, Request& request, int statement);
  void check_tag(const char* tag, Request& request) const;
  void take_skipped(Request& request, const Owed& skipped) const;
  void take_error(PGresult* result);
  void check_limits(Request& request, int statement);
  void finish(const std::shared_ptr<Request>& request);
  bool leaves_something(const Request& request) const;
  bool is_as_at_login() const;
  PgError error_of(PGresult* result) const;
  PgError lost_error(const std::string& fallback) const;

  // --- Time
  void watch();
  Duration patience(const Request& request) const;
  void begin_cancel(const std::shared_ptr<Request>& request);

  boost::asio::io_context& io;
  Canceller& canceller;
  const Libpq& pq;
  const ConnectionSettings settings;
  PgConn conn;
  Descriptor socket;
  OnNotice on_notice;
  std::function<void(const PgError&)> on_lost{};
  std::vector<std::string> at_login;  // what the server reported of kReported

  std::deque<std::shared_ptr<Request>> requests;  // those that were sent, then those that wait
  std::size_t sent = 0;                           // how many of them
  std::deque<Owed> owed;
  std::unordered_map<std::string, std::shared_ptr<Prepared>> prepared;  // by SQL
  std::size_t names_given = 0;

  std::optional<PgError> last_words{};             // a FATAL error of the server
  std::optional<std::uint64_t> received_before{};  // bytes, when the answer began that is not complete yet
  Time front_since{};                              // when the first of the batches under way became that
  bool cancel_under_way = false;
  bool is_open = true;
  bool is_exclusive = false;
  bool is_waiting_to_write = false;
  bool is_reading_later = false;
  boost::asio::steady_timer watchdog;
  bool is_watched = false;
};

}  // namespace rt::postgres
