#include "io/postgres/replication.h"

#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/check.h"
#include "io/postgres/connection_impl.h"

namespace rt::postgres {
namespace {

constexpr std::string_view kNotInThatState = "55000";  // object_not_in_prerequisite_state
// More than this is no result, but a mistake of who asks.
constexpr std::size_t kResultBytesMax = std::size_t{512} << 20;

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

struct ReplicationConnection::Impl : std::enable_shared_from_this<Impl> {
  Impl(const Surroundings& surroundings, PgConn connection)
      : io(surroundings.io), pq(**libpq()), conn(std::move(connection)), socket(io), ready(io) {}

  void start();
  Task<void> wait_ready(Time until);
  Task<Result<PgResult>> next_result(Time deadline);
  Result<void> read();
  Result<std::size_t> hand_on(const OnMessage& on_message);
  void flush();
  PgError error_of(const PGresult* result) const;
  tl::unexpected<PgError> lose(PgError error);
  tl::unexpected<PgError> lose(const std::string& fallback);
  tl::unexpected<PgError> end_of_copy();

  boost::asio::io_context& io;
  const Libpq& pq;
  PgConn conn;
  Descriptor socket;
  Event ready;  // something can be read, or wake(), or the end
  bool is_reading = false;
  bool is_writing = false;
  bool is_open = true;
  std::optional<PgError> lost{};        // why it is not open any more
  std::optional<PgError> last_words{};  // a FATAL error of the server
  bool is_streaming = false;
  std::optional<PgError> warning{};  // of the plugin: it leaves something out
};

Task<Result<std::unique_ptr<ReplicationConnection>>> ReplicationConnection::open(
    Surroundings surroundings, ConnectionSettings settings, std::shared_ptr<Cancellation> cancellation) {
  settings.kind = SessionKind::kReplication;
  auto conn = co_await connect(surroundings, settings, std::move(cancellation));
  if (!conn) co_return tl::make_unexpected(conn.error());
  auto impl = std::make_shared<Impl>(surroundings, *std::move(conn));
  impl->start();
  co_return std::unique_ptr<ReplicationConnection>(new ReplicationConnection(std::move(impl)));
}

ReplicationConnection::ReplicationConnection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

ReplicationConnection::~ReplicationConnection() { close(); }

Task<Result<Rows>> ReplicationConnection::query(std::string command, Time deadline) {
  const std::shared_ptr<Impl> impl = impl_;
  if (!impl->is_open) co_return impl->lose("");
  if (impl->pq.PQsendQuery(impl->conn.get(), command.c_str()) == 0) co_return impl->lose("the command was not sent");
  impl->flush();
  Rows rows;
  std::optional<PgError> failure;
  while (true) {
    const auto result = co_await impl->next_result(deadline);
    if (!result) co_return tl::make_unexpected(result.error());
    PGresult* const what = result->get();
    if (what == nullptr) break;
    switch (impl->pq.PQresultStatus(what)) {
      case PGRES_TUPLES_OK: {
        rows = {};
        const int columns = impl->pq.PQnfields(what);
        for (int column = 0; column < columns; ++column) rows.add_column(text_of(impl->pq.PQfname(what, column)));
        for (int row = 0; row < impl->pq.PQntuples(what); ++row) {
          for (int column = 0; column < columns; ++column) {
            const bool is_null = impl->pq.PQgetisnull(what, row, column) != 0;
            const auto size = static_cast<std::size_t>(impl->pq.PQgetlength(what, row, column));
            if (rows.bytes() + size > kResultBytesMax)
              co_return impl->lose(
                  {.kind = ErrorClass::kResultTooLarge, .message = "the result has more than 512 MiB"});
            if (is_null) {
              rows.add_field(std::nullopt);
            } else {
              rows.add_field(std::string_view(impl->pq.PQgetvalue(what, row, column), size));
            }
          }
        }
        break;
      }
      case PGRES_COMMAND_OK:
        rows = {};
        break;
      case PGRES_COPY_BOTH:
        co_return impl->lose(PgError{.message = "the command began a stream"});
      default:
        if (!failure) failure = impl->error_of(what);
    }
  }
  if (failure) co_return tl::make_unexpected(*std::move(failure));
  co_return rows;
}

Task<Result<void>> ReplicationConnection::start(std::string command, Time deadline) {
  const std::shared_ptr<Impl> impl = impl_;
  if (!impl->is_open) co_return impl->lose("");
  if (impl->pq.PQsendQuery(impl->conn.get(), command.c_str()) == 0) co_return impl->lose("the command was not sent");
  impl->flush();
  const auto result = co_await impl->next_result(deadline);
  if (!result) co_return tl::make_unexpected(result.error());
  PGresult* const what = result->get();
  if (what != nullptr && impl->pq.PQresultStatus(what) == PGRES_COPY_BOTH) {
    impl->is_streaming = true;
    co_return Result<void>{};
  }
  PgError error = what == nullptr ? PgError{.message = "the server said nothing"} : impl->error_of(what);
  // The session could go on, but nobody wants it to.
  co_return impl->lose(std::move(error));
}

Task<Result<std::size_t>> ReplicationConnection::receive(Time until, const OnMessage& on_message) {
  const std::shared_ptr<Impl> impl = impl_;
  for (bool has_waited = false;; has_waited = true) {
    if (!impl->is_open) co_return impl->lose("");
    const auto count = impl->hand_on(on_message);
    if (impl->is_open && impl->warning) co_return impl->lose(*impl->warning);
    if (count && *count == kMessagesPerTurn) co_await boost::asio::post(impl->io, boost::asio::use_awaitable);
    if (!count || *count > 0 || has_waited) co_return count;
    co_await impl->wait_ready(until);
    if (!impl->is_open) co_return impl->lose("");
    if (const auto read = impl->read(); !read) co_return tl::make_unexpected(read.error());
  }
}

void ReplicationConnection::send(std::string_view message) {
  if (!impl_->is_open) return;
  if (impl_->pq.PQputCopyData(impl_->conn.get(), message.data(), static_cast<int>(message.size())) != 1) {
    (void)impl_->lose("a message was not sent");
    return;
  }
  impl_->flush();
}

void ReplicationConnection::wake() { impl_->ready.set(); }

void ReplicationConnection::close() { (void)impl_->lose(PgError{.message = "the connection was closed"}); }

bool ReplicationConnection::is_open() const { return impl_->is_open; }

ServerInfo ReplicationConnection::server() const {
  if (!impl_->is_open) return {};
  return {.version = impl_->pq.PQserverVersion(impl_->conn.get()),
          .backend_pid = impl_->pq.PQbackendPID(impl_->conn.get()),
          .is_encrypted = impl_->pq.PQsslInUse(impl_->conn.get()) != 0};
}

void ReplicationConnection::Impl::start() {
  socket.assign(dup(pq.PQsocket(conn.get())));
  RT_CHECK(pq.PQsetnonblocking(conn.get(), 1) == 0);
  const auto on_message = [](void* self, const PGresult* result) {
    auto& impl = *static_cast<Impl*>(self);
    const std::string severity = text_of(impl.pq.PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED));
    if (severity == "FATAL" || severity == "PANIC") impl.last_words = impl.error_of(result);
    if (severity == "WARNING" && impl.is_streaming) {
      PgError warning = impl.error_of(result);
      if (warning.sqlstate == kNotInThatState) impl.warning = std::move(warning);
    }
  };
  pq.PQsetNoticeReceiver(conn.get(), on_message, this);
}

// One wait of the descriptor is under way at most; it outlasts the coroutine that asked for it.
Task<void> ReplicationConnection::Impl::wait_ready(Time until) {
  if (!std::exchange(is_reading, true)) {
    socket.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      self->is_reading = false;
      if (!error) self->ready.set();
    });
  }
  co_await ready.wait_until(until);
}

Result<void> ReplicationConnection::Impl::read() {
  if (pq.PQconsumeInput(conn.get()) == 0) return lose("the connection broke");
  return {};
}

// A null one: nothing more comes of this command.
Task<Result<PgResult>> ReplicationConnection::Impl::next_result(Time deadline) {
  while (pq.PQisBusy(conn.get()) != 0) {
    ready.clear();
    co_await wait_ready(deadline);
    if (!is_open) co_return lose("");
    if (!ready.is_set()) co_return lose({.kind = ErrorClass::kTimeOut, .message = "the server did not answer in time"});
    if (const auto consumed = read(); !consumed) co_return tl::make_unexpected(consumed.error());
  }
  co_return PgResult(pq.PQgetResult(conn.get()), pq.PQclear);
}

Result<std::size_t> ReplicationConnection::Impl::hand_on(const OnMessage& on_message) {
  ready.clear();
  std::size_t count = 0;
  while (is_open && count < kMessagesPerTurn) {
    char* bytes = nullptr;
    const int size = pq.PQgetCopyData(conn.get(), &bytes, 1);
    if (size == 0) return count;
    if (size < 0) return end_of_copy();
    const std::unique_ptr<char, decltype(pq.PQfreemem)> owned(bytes, pq.PQfreemem);
    ++count;
    if (on_message({bytes, static_cast<std::size_t>(size)}) == Go::kNotYet) break;
  }
  return count;
}

void ReplicationConnection::Impl::flush() {
  const int left = pq.PQflush(conn.get());
  if (left < 0) {
    (void)lose("the connection broke");
  } else if (left > 0 && !std::exchange(is_writing, true)) {
    socket.async_wait(Descriptor::wait_write, [self = shared_from_this()](const boost::system::error_code& error) {
      self->is_writing = false;
      if (!error && self->is_open) self->flush();
    });
  }
}

PgError ReplicationConnection::Impl::error_of(const PGresult* result) const {
  const auto field = [&](int code) { return text_of(pq.PQresultErrorField(result, code)); };
  PgError error{.sqlstate = field(PG_DIAG_SQLSTATE), .message = field(PG_DIAG_MESSAGE_PRIMARY)};
  if (error.message.empty()) error.message = text_of(pq.PQresultErrorMessage(result));
  error.message = one_line(error.message);
  return error;
}

// The server ends the stream with an error, or because it is being stopped.
tl::unexpected<PgError> ReplicationConnection::Impl::end_of_copy() {
  const PgResult result(pq.PQisBusy(conn.get()) == 0 ? pq.PQgetResult(conn.get()) : nullptr, pq.PQclear);
  const bool has_error = result && pq.PQresultStatus(result.get()) == PGRES_FATAL_ERROR;
  if (has_error && !last_words) last_words = error_of(result.get());
  return lose("the server ended the stream");
}

tl::unexpected<PgError> ReplicationConnection::Impl::lose(const std::string& fallback) {
  if (lost) return tl::make_unexpected(*lost);
  if (last_words) return lose(*last_words);
  const std::string said = conn ? one_line(text_of(pq.PQerrorMessage(conn.get()))) : "";
  return lose(PgError{.message = said.empty() ? fallback : said});
}

// The end, for the first reason that was given. An error of the server keeps its SQLSTATE.
tl::unexpected<PgError> ReplicationConnection::Impl::lose(PgError error) {
  if (std::exchange(is_open, false)) {
    const auto keep = shared_from_this();
    if (error.kind == ErrorClass::kServer && error.sqlstate.empty()) error.kind = ErrorClass::kConnectionLost;
    lost = std::move(error);
    boost::system::error_code ignored;
    socket.close(ignored);
    conn.reset();
    ready.set();
  }
  return tl::make_unexpected(*lost);
}

}  // namespace rt::postgres
