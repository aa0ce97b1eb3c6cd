#include "io/postgres/connection.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/check.h"
#include "io/postgres/connection_impl.h"

namespace rt::postgres {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kEndTransaction = "ROLLBACK";
// As of PostgreSQL 15 this is all that a session holds; the select asks whether the server agrees.
constexpr const char* kDiscard = "DISCARD ALL";
constexpr const char* kLeftOvers =
    "SELECT concat_ws(', ',"
    " CASE WHEN current_user <> session_user OR current_setting('role') <> 'none' THEN 'role' END,"
    " (SELECT 'setting ' || min(name) FROM pg_settings WHERE source = 'session' HAVING count(*) > 0),"
    " (SELECT 'prepared statement' FROM pg_prepared_statements LIMIT 1),"
    " (SELECT 'cursor' FROM pg_cursors WHERE name <> '' LIMIT 1),"
    " (SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() LIMIT 1),"
    " (SELECT 'temporary table' FROM pg_class WHERE relnamespace = pg_my_temp_schema() LIMIT 1),"
    " (SELECT 'channel' FROM pg_listening_channels() LIMIT 1))";

std::size_t bytes_of(const Batch& batch) {
  std::size_t bytes = 0;
  for (const Statement& statement : batch.statements) {
    bytes += statement.sql.size();
    for (const auto& parameter : statement.parameters) bytes += parameter ? parameter->size() : 0;
  }
  return bytes;
}

Batch just(const char* sql) { return {.statements = {{.sql = sql, .plan = Plan::kOnce}}, .ends = Ends::kOpen}; }

}  // namespace

Task<Result<std::unique_ptr<Connection>>> Connection::open(Surroundings surroundings, ConnectionSettings settings,
                                                           OnNotice on_notice,
                                                           std::shared_ptr<Cancellation> cancellation) {
  auto conn = co_await connect(surroundings, settings, std::move(cancellation));
  if (!conn) co_return tl::make_unexpected(conn.error());
  auto impl = std::make_shared<Impl>(surroundings, std::move(settings), *std::move(conn), std::move(on_notice));
  impl->start();
  co_return std::unique_ptr<Connection>(new Connection(std::move(impl)));
}

Connection::Connection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Connection::~Connection() { close(); }

Task<BatchReply> Connection::run(Batch batch) {
  const std::shared_ptr<Impl> impl = impl_;  // who waits needs no Connection any more
  const auto request = std::make_shared<Request>(impl->io, std::move(batch));
  co_await impl->execute(request);
  if (request->error) co_return tl::make_unexpected(*std::move(request->error));
  co_return std::move(request->results);
}

Task<SectionsReply> Connection::run_sections(Batch batch) {
  const std::shared_ptr<Impl> impl = impl_;
  RT_CHECK(batch.ends == Ends::kRolledBack);
  const auto request = std::make_shared<Request>(impl->io, std::move(batch));
  request->in_sections = true;
  request->errors.resize(request->batch.statements.size());
  co_await impl->execute(request);
  if (request->error) co_return tl::make_unexpected(*std::move(request->error));
  std::vector<Result<Rows>> out;
  out.reserve(request->results.size());
  for (std::size_t i = 0; i < request->results.size(); ++i) {
    if (request->errors[i]) {
      out.push_back(tl::make_unexpected(*std::move(request->errors[i])));
    } else {
      out.push_back(std::move(request->results[i]));
    }
  }
  co_return out;
}

// Until it is answered; its error says whether it could be.
Task<void> Connection::Impl::execute(std::shared_ptr<Request> request) {
  const auto keep = shared_from_this();
  RT_CHECK(in_loop_thread());
  RT_CHECK(is_exclusive || request->batch.ends != Ends::kOpen);
  if (bytes_of(request->batch) > Batch::kBytesMax) {
    request->error =
        PgError{.kind = ErrorClass::kRequestTooLarge,
                .message = "statements and parameters have more than " + std::to_string(Batch::kBytesMax) + " bytes"};
    co_return;
  }
  const std::shared_ptr<Cancellation> cancellation = request->batch.cancellation;
  if (cancellation && cancellation->is_cancelled()) {
    request->error = PgError{.kind = ErrorClass::kCancelled, .message = "cancelled before it began"};
    co_return;
  }
  submit(request);
  if (cancellation)
    cancellation->set_hook([weak = weak_from_this(), asked = std::weak_ptr(request)] {
      const auto self = weak.lock();
      if (const auto what = asked.lock(); self && what) self->cancel(what);
    });
  co_await request->answered.wait_until(Time::max());
  if (cancellation) cancellation->set_hook(nullptr);
}

void Connection::begin_exclusive_use() { impl_->is_exclusive = true; }

Task<Result<void>> Connection::reset() {
  const std::shared_ptr<Impl> impl = impl_;
  RT_CHECK(impl->is_exclusive);
  if (!impl->is_idle_in_server()) (void)co_await run(just(kEndTransaction));
  const auto discarded = co_await run(just(kDiscard));
  impl->prepared.clear();
  const auto left = discarded ? co_await run(just(kLeftOvers)) : discarded;
  std::string why;
  if (!left) {
    why = left.error().message;
  } else if (left->front().size() != 1 || left->front().text(0, 0) != "") {
    why = "left over: " + std::string(left->front().text(0, 0).value_or("?"));
  }
  impl->is_exclusive = false;
  if (why.empty() && impl->is_idle_in_server() && impl->is_as_at_login()) co_return Result<void>{};
  PgError error{.kind = ErrorClass::kConnectionLost, .message = "the session could not be reset: " + why};
  impl->lose(error);
  co_return tl::make_unexpected(error);
}

bool Connection::is_open() const { return impl_->is_open; }

bool Connection::is_in_transaction() const { return impl_->is_open && !impl_->is_idle_in_server(); }

std::size_t Connection::batches_under_way() const { return impl_->requests.size(); }

ServerInfo Connection::server() const { return impl_->server(); }

void Connection::set_on_lost(std::function<void(const PgError&)> on_lost) { impl_->on_lost = std::move(on_lost); }

void Connection::close() { impl_->close(); }

Connection::Impl::Impl(const Surroundings& surroundings, ConnectionSettings how, PgConn connection, OnNotice notices)
    : io(surroundings.io),
      canceller(surroundings.canceller),
      pq(**libpq()),
      settings(std::move(how)),
      conn(std::move(connection)),
      socket(io),
      on_notice(std::move(notices)),
      watchdog(io) {}

void Connection::Impl::submit(const std::shared_ptr<Request>& request) {
  if (!is_open) {
    request->error = PgError{.kind = ErrorClass::kConnectionLost, .message = "the connection has ended"};
    return request->answered.set();
  }
  requests.push_back(request);
  send_waiting();
}

void Connection::Impl::cancel(const std::shared_ptr<Request>& request) {
  RT_CHECK(in_loop_thread());
  const auto at = std::ranges::find(requests, request);
  if (at == requests.end() || request->is_cancelled || request->is_abandoned) return;
  if (!request->is_sent) {
    request->error = PgError{.kind = ErrorClass::kCancelled, .message = "cancelled before it was sent"};
    requests.erase(at);
    return request->answered.set();
  }
  if (sent == 1) return begin_cancel(request);
  request->is_abandoned = true;
  request->error = PgError{.kind = ErrorClass::kCancelled,
                           .message = "cancelled while others were under way on the connection",
                           .outcome_unknown = request->batch.ends != Ends::kRolledBack};
  request->answered.set();
}

// A cancellation hits whatever runs when it arrives, so nothing is sent behind what is to be cancelled until the server
// has taken it.
void Connection::Impl::begin_cancel(const std::shared_ptr<Request>& request) {
  const auto free_cancel = [free = pq.PQfreeCancel](pg_cancel* cancel) { free(cancel); };
  std::shared_ptr<pg_cancel> what(pq.PQgetCancel(conn.get()), free_cancel);
  if (!what) return;
  const auto self = weak_from_this();
  const auto done = [self, io_ = std::ref(io)] {
    boost::asio::post(io_.get(), [self] {
      const auto impl = self.lock();
      if (!impl) return;
      impl->cancel_under_way = false;
      impl->send_waiting();
    });
  };
  request->is_cancelled = cancel_under_way = canceller.cancel(std::move(what), done);
}

// The end for a reason. Each batch gets its answer, at once.
void Connection::Impl::lose(const PgError& error) {
  if (!is_open) return;
  const auto keep = shared_from_this();
  auto tell = std::exchange(on_lost, nullptr);
  is_open = false;
  boost::system::error_code ignored;
  socket.close(ignored);
  watchdog.cancel();
  owed.clear();
  conn.reset();
  sent = 0;
  for (const auto& request : std::exchange(requests, {})) {
    if (!request->is_abandoned && !request->error) {
      request->error = error;
      request->error->outcome_unknown = request->is_sent && request->batch.ends != Ends::kRolledBack;
    }
    request->answered.set();
  }
  if (tell) tell(error);
}

void Connection::Impl::close() {
  on_lost = nullptr;
  lose({.kind = ErrorClass::kConnectionLost, .message = "the connection was closed"});
}

}  // namespace rt::postgres
