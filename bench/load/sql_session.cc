#include "load/sql_session.h"

#include <poll.h>

#include <utility>

#include "libpq/libpq.h"
#include "load/interrupt.h"

namespace rt::load {
namespace {

constexpr int kPollMs = 100;

}  // namespace

Result<SqlSession> SqlSession::connect(const std::string& connection_string) {
  const auto loaded = libpq();
  if (!loaded) return tl::make_unexpected(loaded.error());
  const Libpq& pq = **loaded;
  const char* const names[] = {"dbname", nullptr};
  const char* const values[] = {connection_string.c_str(), nullptr};
  SqlSession session(pq, Connection(pq.PQconnectStartParams(names, values, 1), pq.PQfinish));
  PGconn* const connection = session.connection_.get();
  if (connection == nullptr) return fail("libpq has no memory");
  for (auto wants = PGRES_POLLING_WRITING; wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED;) {
    pollfd ready{.fd = pq.PQsocket(connection),
                 .events = static_cast<short>(wants == PGRES_POLLING_READING ? POLLIN : POLLOUT),
                 .revents = 0};
    if (poll(&ready, 1, kPollMs) > 0) wants = pq.PQconnectPoll(connection);
    if (const auto go_on = not_interrupted(); !go_on) return tl::make_unexpected(go_on.error());
  }
  if (pq.PQstatus(connection) != CONNECTION_OK) return session.failed();
  return session;
}

Result<void> SqlSession::run(const std::string& statements) {
  if (const auto begun = begin(statements); !begun) return begun;
  return finish();
}

Result<void> SqlSession::begin(const std::string& statements) {
  if (libpq_->PQsendQuery(connection_.get(), statements.c_str()) != 1) return failed();
  return {};
}

Result<void> SqlSession::finish() {
  bool has_failed = false;
  while (true) {
    const PgResult result(libpq_->PQgetResult(connection_.get()), libpq_->PQclear);
    if (!result) break;
    const ExecStatusType status = libpq_->PQresultStatus(result.get());
    if (status == PGRES_COPY_BOTH) return {};
    has_failed = has_failed || (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK);
  }
  if (has_failed) return failed();
  return {};
}

Result<void> SqlSession::read_stream(const std::function<void(std::string_view)>& on_message) {
  while (true) {
    char* bytes = nullptr;
    const int size = libpq_->PQgetCopyData(connection_.get(), &bytes, 0);
    if (size < 0) return failed();
    on_message({bytes, static_cast<std::size_t>(size)});
    libpq_->PQfreemem(bytes);
  }
}

Result<void> SqlSession::send_to_stream(std::string_view message) {
  if (libpq_->PQputCopyData(connection_.get(), message.data(), static_cast<int>(message.size())) != 1 ||
      libpq_->PQflush(connection_.get()) != 0)
    return failed();
  return {};
}

tl::unexpected<Error> SqlSession::failed() const { return fail(libpq_->PQerrorMessage(connection_.get())); }

}  // namespace rt::load
