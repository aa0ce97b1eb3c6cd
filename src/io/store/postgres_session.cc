// Postgres manual, chapter 34. A statement is sent and its answer waited for with a poll(2), because a server that
// acknowledges and does not answer is noticed by nobody else.
#include "io/store/postgres_session.h"

#include <poll.h>
#include <sys/socket.h>

#include <charconv>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "io/store/resolve.h"
#include "libpq/libpq.h"

namespace rt::store {

namespace {

constexpr const char* kPingTimeoutSeconds = "5";
constexpr const char* kTcpTimeoutMs = "10000";
constexpr std::chrono::seconds kAnswerTimeout{12};  // longer than the server's own statement_timeout
constexpr int kPollMs = 50;
// Also where the database cannot be asked for parameters at connect, behind a pooler.
constexpr const char* kSessionSettings =
    "SET statement_timeout = 10000; SET lock_timeout = 10000; SET timezone = 'UTC'";

std::string one_line(std::string_view text) {
  std::string out(text.substr(0, text.find_last_not_of('\n') + 1));
  for (char& c : out) {
    if (c == '\n') c = ' ';
  }
  return out;
}

bool is_socket_directory(const std::string& host) { return host.starts_with('/') || host.starts_with('@'); }

bool is_at_end(ConnStatusType status) { return status == CONNECTION_OK || status == CONNECTION_BAD; }

class ResultRow final : public Row {
 public:
  ResultRow(const Libpq& libpq, const PGresult* rows, int row) : libpq_(libpq), rows_(rows), row_(row) {}
  std::optional<std::string> optional_text() override {
    const int column = column_++;
    if (libpq_.PQgetisnull(rows_, row_, column) != 0) return std::nullopt;
    return std::string(libpq_.PQgetvalue(rows_, row_, column),
                       static_cast<std::size_t>(libpq_.PQgetlength(rows_, row_, column)));
  }

 private:
  const Libpq& libpq_;
  const PGresult* rows_;
  int row_;
  int column_ = 0;
};

// By the class of its SQLSTATE (appendix A of the Postgres manual).
Failure failure_of(const char* state) {
  const std::string_view kind = state == nullptr ? "" : std::string_view(state).substr(0, 2);
  if (kind == "22" || kind == "23") return Failure::kOfData;  // data exception, integrity constraint violation
  // Connection exceptions, rollbacks, resources, locks, an operator, the system.
  for (const std::string_view passing : {"", "08", "40", "53", "55", "57", "58"}) {
    if (kind == passing) return Failure::kUnavailable;
  }
  return Failure::kRefused;
}

}  // namespace

PostgresSession::PostgresSession(PostgresConfig config, std::string application_name)
    : config_(std::move(config)),
      application_name_(std::move(application_name)),
      connection_(nullptr, [](pg_conn*) {}) {}

PostgresSession::~PostgresSession() = default;

bool PostgresSession::is_broken() const { return !connection_ || libpq_->PQstatus(connection_.get()) != CONNECTION_OK; }

Result<void> PostgresSession::prepare() {
  if (interrupted_) return failed(Failure::kUnavailable, "connecting to", "the server is stopping");
  if (!is_broken()) return {};
  const auto loaded = libpq();
  if (!loaded) return refused(loaded.error().message);
  libpq_ = *loaded;
  if (auto connected = connect(); !connected) return connected;
  auto set = set_session();
  if (!set) connection_.reset();  // or it would be used without
  return set;
}

Result<void> PostgresSession::connect() {
  std::vector<std::string> addresses = {""};
  if (!is_socket_directory(config_.host)) {
    auto resolved = resolve(config_.host, config_.family);
    if (!resolved) return failed(Failure::kRefused, "connecting to", resolved.error().message);
    addresses = *std::move(resolved);
  }
  std::string why;
  for (const std::string& address : addresses) {
    auto connected = connect_to(address);
    if (connected) return connected;
    why = connected.error().message;
    if (interrupted_) break;
  }
  return failed(failure_, "connecting to", why);
}

Result<void> PostgresSession::connect_to(const std::string& address) {
  const char* ssl_mode = !config_.uses_tls ? "disable" : config_.ca_file.empty() ? "require" : "verify-full";
  const std::pair<const char*, const char*> parameters[] = {{"host", config_.host.c_str()},
                                                            {"hostaddr", address.c_str()},
                                                            {"port", config_.port.c_str()},
                                                            {"user", config_.user.c_str()},
                                                            {"password", config_.password.c_str()},
                                                            {"dbname", config_.database.c_str()},
                                                            {"sslmode", ssl_mode},
                                                            {"sslrootcert", config_.ca_file.c_str()},
                                                            {"tcp_user_timeout", kTcpTimeoutMs},
                                                            {"gssencmode", "disable"},
                                                            {"application_name", application_name_.c_str()},
                                                            {"client_encoding", "UTF8"}};
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : parameters) {
    names.push_back(name);
    values.push_back(*value == '\0' ? nullptr : value);
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  failure_ = Failure::kUnavailable;
  connection_ = Connection(libpq_->PQconnectStartParams(names.data(), values.data(), 0), libpq_->PQfinish);
  RT_CHECK(connection_ != nullptr);
  if (!wait_for_connection()) {
    connection_.reset();
    return fail(interrupted_ ? "the server is stopping" : "no answer in time");
  }
  if (!is_broken()) return {};
  if (is_up(address)) failure_ = Failure::kRefused;
  return fail(one_line(libpq_->PQerrorMessage(connection_.get())));
}

// A server that takes connections, and not ours, has something against us.
bool PostgresSession::is_up(const std::string& address) const {
  const char* const names[] = {"host", "hostaddr", "port", "sslmode", "connect_timeout", nullptr};
  const char* const values[] = {config_.host.c_str(), address.empty() ? nullptr : address.c_str(),
                                config_.port.c_str(), "disable",
                                kPingTimeoutSeconds,  nullptr};
  return !interrupted_ && libpq_->PQpingParams(names, values, 0) == PQPING_OK;
}

// False: time is up.
bool PostgresSession::wait_for_connection() {
  const auto deadline = std::chrono::steady_clock::now() + config_.connect_timeout;
  bool wants_to_read = false;
  while (!is_at_end(libpq_->PQstatus(connection_.get()))) {
    if (interrupted_ || std::chrono::steady_clock::now() > deadline) return false;
    pollfd ready{.fd = libpq_->PQsocket(connection_.get()),
                 .events = static_cast<short>(wants_to_read ? POLLIN : POLLOUT),
                 .revents = 0};
    if (poll(&ready, 1, kPollMs) > 0) wants_to_read = libpq_->PQconnectPoll(connection_.get()) == PGRES_POLLING_READING;
  }
  return true;
}

Result<void> PostgresSession::set_session() {
  // Without DETAIL and CONTEXT, which quote rows.
  libpq_->PQsetErrorVerbosity(connection_.get(), PQERRORS_TERSE);
  if (auto set = execute(kSessionSettings); !set || config_.after_connect_query.empty()) return set;
  auto set = execute(config_.after_connect_query);
  if (!set) return fail(set.error(), "DB_AFTER_CONNECT_QUERY");
  return set;
}

Result<void> PostgresSession::execute(const std::string& sql) {
  const auto rows = finish(libpq_->PQsendQuery(connection_.get(), sql.c_str()), "setting up");
  if (!rows) return tl::make_unexpected(rows.error());
  return {};
}

Result<std::int64_t> PostgresSession::run(const std::string& sql, const Parameters& parameters, std::string_view doing,
                                          const Database::OnRow& on_row) {
  std::vector<const char*> values;
  for (const auto& text : parameters) values.push_back(text ? text->c_str() : nullptr);
  const auto rows = finish(libpq_->PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                                     nullptr, values.data(), nullptr, nullptr, 0),
                           doing);
  if (!rows) return tl::make_unexpected(rows.error());
  PGresult* const result = rows->get();
  for (int i = 0; on_row && i < libpq_->PQntuples(result); ++i) {
    ResultRow row(*libpq_, result, i);
    on_row(row);
  }
  const std::string_view changed = libpq_->PQcmdTuples(result);
  std::int64_t count = 0;
  std::from_chars(changed.data(), changed.data() + changed.size(), count);
  return count;
}

// The last result of what was sent, or the first failure.
Result<PostgresSession::Rows> PostgresSession::finish(int sent, std::string_view doing) {
  const auto is_failure = [this](const Rows& rows) {
    const ExecStatusType status = libpq_->PQresultStatus(rows.get());
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
  };
  if (sent == 0) return lost(doing);
  Rows last(nullptr, libpq_->PQclear);
  while (true) {
    auto next = wait_for_rows(doing);
    if (!next) return next;
    if (!*next) break;
    if (!last || !is_failure(last)) last = *std::move(next);
  }
  if (!last || !is_failure(last)) return last;
  return failed(failure_of(libpq_->PQresultErrorField(last.get(), PG_DIAG_SQLSTATE)), doing,
                one_line(libpq_->PQresultErrorMessage(last.get())));
}

// The next result; null: there is none.
Result<PostgresSession::Rows> PostgresSession::wait_for_rows(std::string_view doing) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerTimeout;
  while (libpq_->PQisBusy(connection_.get()) != 0) {
    if (interrupted_ || std::chrono::steady_clock::now() > deadline) return give_up(doing);
    pollfd readable{.fd = libpq_->PQsocket(connection_.get()), .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, kPollMs) > 0 && libpq_->PQconsumeInput(connection_.get()) == 0) return lost(doing);
  }
  return Rows(libpq_->PQgetResult(connection_.get()), libpq_->PQclear);
}

tl::unexpected<Error> PostgresSession::give_up(std::string_view doing) {
  shutdown(libpq_->PQsocket(connection_.get()), SHUT_RDWR);
  connection_.reset();
  return failed(Failure::kUnavailable, doing, interrupted_ ? "the server is stopping" : "no answer in time");
}

tl::unexpected<Error> PostgresSession::lost(std::string_view doing) {
  return failed(Failure::kUnavailable, doing, one_line(libpq_->PQerrorMessage(connection_.get())));
}

tl::unexpected<Error> PostgresSession::failed(Failure failure, std::string_view doing, std::string_view why) {
  failure_ = failure;
  return fail(std::string(doing) + " " + where() + ": " + std::string(why));
}

std::string PostgresSession::where() const {
  return "the control database " + config_.database + " on " + config_.host + ":" + config_.port;
}

}  // namespace rt::store
