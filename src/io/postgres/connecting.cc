// The login. libpq would resolve names with a blocking call and does not apply connect_timeout here, so both are ours.
//
// Manual, 34.1: the socket may be another one after each PQconnectPoll, so it is read anew; Asio gets a duplicate,
// because it closes what it is given.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>

#include "base/check.h"
#include "io/postgres/connection_impl.h"

namespace rt::postgres {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

// A file that never exists: libpq would take what it finds in the home directory.
constexpr const char* kNoFile = "/dev/null/none";

// It needs no look-up.
bool is_address_of(AddressFamily family, const std::string& host) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return false;
  return family == AddressFamily::kV4 ? address.is_v4() : family == AddressFamily::kV6 ? address.is_v6() : true;
}

bool is_socket_directory(const std::string& host) { return host.starts_with('/') || host.starts_with('@'); }

std::string session_options(const ConnectionSettings& settings) {
  return "-c statement_timeout=" + std::to_string(settings.statement_timeout.count()) +
         " -c lock_timeout=" + std::to_string(settings.lock_timeout.count()) +
         " -c datestyle=ISO -c bytea_output=hex -c extra_float_digits=1 -c row_security=on"
         " -c standard_conforming_strings=on" +
         (settings.search_path.empty() ? "" : " -c search_path=" + settings.search_path);
}

// One way in: what all addresses share, and what this coroutine waits for.
class Login {
 public:
  Login(Surroundings surroundings, const ConnectionSettings& settings, std::shared_ptr<Cancellation> cancellation,
        const Libpq& pq)
      : surroundings_(surroundings),
        settings_(settings),
        cancellation_(std::move(cancellation)),
        pq_(pq),
        deadline_(Clock::now() + settings.connect_timeout),
        wake_(std::make_shared<Event>(surroundings.io)) {
    if (cancellation_) cancellation_->set_hook([wake = wake_] { wake->set(); });
  }
  ~Login() {
    if (cancellation_) cancellation_->set_hook(nullptr);
  }
  Login(const Login&) = delete;
  Login& operator=(const Login&) = delete;

  Task<Result<PgConn>> run();

 private:
  Task<Result<std::vector<std::string>>> addresses();
  Task<Result<PgConn>> by(std::string address, Time deadline);
  Task<bool> ready(PGconn* conn, PostgresPollingStatusType wanted, Time deadline);
  PgConn begin(const std::string& address) const;
  Result<PgConn> checked(PgConn conn) const;
  bool is_cancelled() const { return cancellation_ && cancellation_->is_cancelled(); }
  tl::unexpected<PgError> gave_up(const std::string& waiting_for) const;
  std::string where() const { return settings_.host + ":" + settings_.port; }

  const Surroundings surroundings_;
  const ConnectionSettings& settings_;
  const std::shared_ptr<Cancellation> cancellation_;
  const Libpq& pq_;
  const Time deadline_;
  const std::shared_ptr<Event> wake_;  // shared with what may call when this is gone
};

Task<Result<PgConn>> Login::run() {
  const auto found = co_await addresses();
  if (!found) co_return tl::make_unexpected(found.error());
  Result<PgConn> last = fail(ErrorClass::kUnreachable, "no address of " + settings_.host);
  for (std::size_t i = 0; i < found->size(); ++i) {
    // An address that swallows packets leaves time for the others.
    const auto share = (deadline_ - Clock::now()) / static_cast<int>(found->size() - i);
    last = co_await by((*found)[i], Clock::now() + share);
    if (last) co_return last;
    const ErrorClass kind = last.error().kind;
    if (kind != ErrorClass::kUnreachable && kind != ErrorClass::kTimeOut) co_return last;
  }
  co_return last;
}

// An empty one: the host is no name but the directory of a socket.
Task<Result<std::vector<std::string>>> Login::addresses() {
  if (is_cancelled()) co_return gave_up("");
  if (is_socket_directory(settings_.host)) co_return std::vector<std::string>{""};
  if (is_address_of(settings_.family, settings_.host)) co_return std::vector<std::string>{settings_.host};
  auto answer = std::make_shared<std::optional<rt::Result<std::vector<std::string>>>>();
  wake_->clear();
  surroundings_.resolver.resolve(settings_.host, settings_.family,
                                 [answer, wake = wake_](rt::Result<std::vector<std::string>> found) {
                                   *answer = std::move(found);
                                   wake->set();
                                 });
  co_await wake_->wait_until(deadline_);
  if (is_cancelled() || !*answer) co_return gave_up("the address of " + settings_.host);
  if (!**answer) co_return fail(ErrorClass::kUnreachable, (*answer)->error().message);
  co_return std::move(***answer);
}

Task<Result<PgConn>> Login::by(std::string address, Time deadline) {
  PgConn conn = begin(address);
  if (!conn) co_return fail(ErrorClass::kUnreachable, "no memory for a connection");
  // So that the texts of errors have their SQLSTATE.
  pq_.PQsetErrorVerbosity(conn.get(), PQERRORS_VERBOSE);
  auto wanted = PGRES_POLLING_WRITING;
  while (pq_.PQstatus(conn.get()) != CONNECTION_BAD) {
    if (!co_await ready(conn.get(), wanted, deadline)) co_return gave_up(where());
    wanted = pq_.PQconnectPoll(conn.get());
    if (wanted == PGRES_POLLING_OK) co_return checked(std::move(conn));
    if (wanted == PGRES_POLLING_FAILED) break;
  }
  co_return tl::make_unexpected(connect_error(pq_.PQerrorMessage(conn.get())));
}

PgConn Login::begin(const std::string& address) const {
  const std::string options = session_options(settings_);
  const std::string user_timeout = std::to_string(settings_.answer_grace.count());
  const char* const ssl_mode = settings_.tls == TlsMode::kOff          ? "disable"
                               : settings_.tls == TlsMode::kUnverified ? "require"
                                                                       : "verify-full";
  const char* const ca_file = settings_.tls == TlsMode::kVerified ? settings_.ca_file.c_str() : kNoFile;
  const bool is_walsender = settings_.kind == SessionKind::kReplication;
  const std::pair<const char*, const char*> parameters[] = {{"host", settings_.host.c_str()},
                                                            {"hostaddr", address.c_str()},
                                                            {"port", settings_.port.c_str()},
                                                            {"user", settings_.user.c_str()},
                                                            {"password", settings_.password.c_str()},
                                                            {"dbname", settings_.database.c_str()},
                                                            {"application_name", settings_.application_name.c_str()},
                                                            {"sslmode", ssl_mode},
                                                            {"sslrootcert", ca_file},
                                                            {"sslcert", kNoFile},
                                                            {"sslkey", kNoFile},
                                                            {"sslcrl", kNoFile},
                                                            {"passfile", kNoFile},
                                                            {"gssencmode", "disable"},
                                                            {"target_session_attrs", "any"},
                                                            {"tcp_user_timeout", user_timeout.c_str()},
                                                            {"client_encoding", "UTF8"},
                                                            {"replication", is_walsender ? "database" : ""},
                                                            {"options", options.c_str()}};
  constexpr std::size_t kCount = std::size(parameters);
  std::array<const char*, kCount + 1> names{};
  std::array<const char*, kCount + 1> values{};
  for (std::size_t i = 0; i < kCount; ++i) {
    names[i] = parameters[i].first;
    values[i] = *parameters[i].second == '\0' ? nullptr : parameters[i].second;
  }
  return {pq_.PQconnectStartParams(names.data(), values.data(), 0), pq_.PQfinish};
}

// False: time is up, or it was cancelled.
Task<bool> Login::ready(PGconn* conn, PostgresPollingStatusType wanted, Time deadline) {
  if (is_cancelled()) co_return false;
  const int fd = dup(pq_.PQsocket(conn));
  if (fd < 0) co_return false;
  Descriptor socket(surroundings_.io, fd);
  wake_->clear();
  socket.async_wait(wanted == PGRES_POLLING_READING ? Descriptor::wait_read : Descriptor::wait_write,
                    [wake = wake_](const boost::system::error_code& error) {
                      if (!error) wake->set();
                    });
  co_return co_await wake_->wait_until(deadline) && !is_cancelled();
}

Result<PgConn> Login::checked(PgConn conn) const {
  const int version = pq_.PQserverVersion(conn.get());
  if (version >= settings_.version_min) return conn;
  const char* const text = pq_.PQparameterStatus(conn.get(), "server_version");
  const std::string shown = text == nullptr ? "nothing" : "'" + one_line(text).substr(0, 40) + "'";
  if (version == 0)
    return fail(ErrorClass::kUnsupported,
                where() + " is no Postgres server that we know: as its version it says " + shown);
  return fail(ErrorClass::kUnsupported, where() + " runs Postgres " + shown + ": " +
                                            std::to_string(settings_.version_min / 10'000) + " or later is needed");
}

tl::unexpected<PgError> Login::gave_up(const std::string& waiting_for) const {
  if (is_cancelled()) return fail(ErrorClass::kCancelled, "connecting was cancelled");
  return fail(ErrorClass::kTimeOut, "no answer in time: waited for " + waiting_for);
}

}  // namespace

Task<Result<PgConn>> connect(Surroundings surroundings, const ConnectionSettings& settings,
                             std::shared_ptr<Cancellation> cancellation) {
  const auto pq = libpq();
  if (!pq) co_return fail(ErrorClass::kUnsupported, pq.error().message);
  Login login(surroundings, settings, std::move(cancellation), **pq);
  co_return co_await login.run();
}

}  // namespace rt::postgres
