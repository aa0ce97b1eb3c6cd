// Sending batches and reading their answers, in libpq's pipeline mode.
//
// The server skips what follows an error up to the next Sync. So what must not be skipped stands behind a Sync of its
// own: the PREPARE of a statement that other batches use too, each section of a batch, and the ROLLBACK that ends one.
//
// Rows are taken one by one, because libpq would gather a whole result however large it is.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/check.h"
#include "io/postgres/bytes_received.h"
#include "io/postgres/connection_impl.h"

namespace rt::postgres {
namespace {

using What = Owed::What;
using Clock = std::chrono::steady_clock;

constexpr const char* kSetTimeout = "SELECT set_config('statement_timeout', $1, true)";
// A statement of the kind that the server no longer knows (26000), or that gives other columns than it did (0A000).
constexpr std::string_view kPreparedStates[] = {"26000", "0A000"};
constexpr std::string_view kTransactionTags[] = {"BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK",
                                                 "PREPARE TRANSACTION"};
constexpr std::size_t kRowBytesSlack = std::size_t{1} << 20;

// Its tag is that of a ROLLBACK, which would end the transaction.
bool goes_back(const Statement& statement) { return statement.sql.starts_with("ROLLBACK TO "); }

// The server tells their values unasked. They would differ if a batch had left a role or such a setting behind.
constexpr const char* kReported[] = {"session_authorization", "is_superuser", "client_encoding", "DateStyle",
                                     "standard_conforming_strings"};

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

// Of the peer. AF_UNSPEC: it has gone.
int family_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  return getpeername(socket, reinterpret_cast<sockaddr*>(&address), &length) == 0 ? address.ss_family : AF_UNSPEC;
}

std::vector<std::string> reported(const Libpq& pq, const PGconn* conn) {
  std::vector<std::string> out;
  for (const char* name : kReported) out.push_back(text_of(pq.PQparameterStatus(conn, name)));
  return out;
}

}  // namespace

void Connection::Impl::start() {
  at_login = reported(pq, conn.get());
  socket.assign(dup(pq.PQsocket(conn.get())));
  RT_CHECK(pq.PQsetnonblocking(conn.get(), 1) == 0 && pq.PQenterPipelineMode(conn.get()) == 1);
  const auto on_message = [](void* self, const PGresult* result) {
    auto& impl = *static_cast<Impl*>(self);
    const auto field = [&](int code) { return text_of(impl.pq.PQresultErrorField(result, code)); };
    const std::string severity = field(PG_DIAG_SEVERITY_NONLOCALIZED);
    const std::string state = field(PG_DIAG_SQLSTATE);
    const std::string message = field(PG_DIAG_MESSAGE_PRIMARY);
    // What nobody asked for: the session is being ended.
    if (severity == "FATAL" || severity == "PANIC") {
      impl.last_words = PgError{.kind = ErrorClass::kConnectionLost, .sqlstate = state, .message = message};
    } else if (impl.on_notice) {
      impl.on_notice({severity, state, message});
    }
  };
  pq.PQsetNoticeReceiver(conn.get(), on_message, this);
  wait_readable();
}

ServerInfo Connection::Impl::server() const {
  if (!is_open) return {};
  const auto is_on = [this](const char* name) { return text_of(pq.PQparameterStatus(conn.get(), name)) == "on"; };
  const bool standby = is_on("in_hot_standby");
  return {.version = pq.PQserverVersion(conn.get()),
          .is_standby = standby,
          .is_read_only = standby || is_on("default_transaction_read_only"),
          .backend_pid = pq.PQbackendPID(conn.get()),
          .is_encrypted = pq.PQsslInUse(conn.get()) != 0,
          .is_by_ipv4 = family_of(pq.PQsocket(conn.get())) == AF_INET};
}

bool Connection::Impl::is_as_at_login() const { return reported(pq, conn.get()) == at_login; }

// --- Sending

void Connection::Impl::send_waiting() {
  while (is_open && !cancel_under_way && sent < requests.size()) {
    if (sent > 0 && requests.front()->is_cancelled) break;
    const auto request = requests[sent];
    if (sent == 0) front_since = Clock::now();
    ++sent;
    request->is_sent = true;
    if (!send(request)) return lose(lost_error("the statements could not be sent"));
  }
  if (is_open) flush();
  watch();
}

bool Connection::Impl::send(const std::shared_ptr<Request>& request) {
  const Batch& batch = request->batch;
  request->results.resize(batch.statements.size());
  if (!prepare_all(request)) return false;
  if (batch.ends == Ends::kRolledBack && !send_own(request, "BEGIN")) return false;
  if (batch.statement_timeout) {
    const Statement set{.sql = kSetTimeout, .parameters = {std::to_string(batch.statement_timeout->count())}};
    if (!send_text(request, What::kOwnStatement, set, -1)) return false;
  }
  for (std::size_t i = 0; i < batch.statements.size(); ++i) {
    if (batch.statements[i].runs == Runs::kInAnyCase) {
      RT_CHECK(request->in_sections && goes_back(batch.statements[i]));
      if (!send_sync(request, What::kSync)) return false;
    }
    if (!send_statement(request, static_cast<int>(i))) return false;
  }
  if (batch.ends != Ends::kRolledBack) return send_sync(request, What::kLastSync);
  return send_sync(request, What::kSync) && send_own(request, "ROLLBACK") && send_sync(request, What::kLastSync);
}

bool Connection::Impl::prepare_all(const std::shared_ptr<Request>& request) {
  for (const Statement& statement : request->batch.statements) {
    if (statement.plan == Plan::kOnce || prepared.contains(statement.sql) || prepared.size() >= kPreparedMax) continue;
    const auto fresh = std::make_shared<Prepared>(Prepared{.name = "rt_" + std::to_string(++names_given)});
    if (pq.PQsendPrepare(conn.get(), fresh->name.c_str(), statement.sql.c_str(), 0, nullptr) == 0) return false;
    owed.push_back({.what = What::kPrepared, .request = request, .prepared = fresh});
    prepared.emplace(statement.sql, fresh);
    if (!send_sync(request, What::kSync)) return false;
  }
  return true;
}

bool Connection::Impl::send_statement(const std::shared_ptr<Request>& request, int index) {
  const Statement& statement = request->batch.statements[static_cast<std::size_t>(index)];
  const auto known = statement.plan == Plan::kOnce ? prepared.end() : prepared.find(statement.sql);
  if (known == prepared.end()) return send_text(request, What::kStatement, statement, index);
  std::vector<const char*> values;
  values.reserve(statement.parameters.size());
  for (const auto& text : statement.parameters) values.push_back(text ? text->c_str() : nullptr);
  owed.push_back({.what = What::kStatement, .request = request, .statement = index, .prepared = known->second});
  return pq.PQsendQueryPrepared(conn.get(), known->second->name.c_str(), static_cast<int>(values.size()), values.data(),
                                nullptr, nullptr, 0) == 1;
}

bool Connection::Impl::send_text(const std::shared_ptr<Request>& request, What what, const Statement& statement,
                                 int index) {
  std::vector<const char*> values;
  values.reserve(statement.parameters.size());
  for (const auto& text : statement.parameters) values.push_back(text ? text->c_str() : nullptr);
  owed.push_back({.what = what, .request = request, .statement = index});
  return pq.PQsendQueryParams(conn.get(), statement.sql.c_str(), static_cast<int>(values.size()), nullptr,
                              values.data(), nullptr, nullptr, 0) == 1;
}

bool Connection::Impl::send_own(const std::shared_ptr<Request>& request, const char* sql) {
  return send_text(request, What::kOwnStatement, {.sql = sql}, -1);
}

bool Connection::Impl::send_sync(const std::shared_ptr<Request>& request, What what) {
  owed.push_back({.what = what, .request = request});
  return pq.PQpipelineSync(conn.get()) == 1;
}

void Connection::Impl::flush() {
  const int left = pq.PQflush(conn.get());
  if (left == 1) wait_writable();
  if (left >= 0) return;
  // What the server said before it went is in the socket, and tells more.
  boost::asio::post(io, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->is_open) return;
    self->on_readable();
    if (self->is_open) self->lose(self->lost_error("the connection broke"));
  });
}

// --- Receiving

void Connection::Impl::wait_readable() {
  socket.async_wait(Descriptor::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error || !self->is_open) return;
    self->on_readable();
    if (self->is_open) self->wait_readable();
  });
}

void Connection::Impl::wait_writable() {
  if (std::exchange(is_waiting_to_write, true)) return;
  socket.async_wait(Descriptor::wait_write, [weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error || !self->is_open) return;
    self->is_waiting_to_write = false;
    self->flush();
  });
}

void Connection::Impl::on_readable() {
  const bool goes_on = pq.PQconsumeInput(conn.get()) == 1;
  const bool is_complete = is_reading_later || read_answers();
  if (!is_open) return;
  if (!goes_on || pq.PQstatus(conn.get()) == CONNECTION_BAD)
    return lose(lost_error("the server closed the connection"));
  if (is_complete) {
    received_before.reset();
  } else {
    check_incomplete();
  }
}

// One message may have 1 GiB, and libpq gathers all of it before we see any.
void Connection::Impl::check_incomplete() {
  if (owed.empty()) return;
  const std::uint64_t received = bytes_received(pq.PQsocket(conn.get()));
  if (!received_before) received_before = received;
  const Owed& current = owed.front();
  const std::size_t bytes_max = current.request->batch.limits.bytes;
  if (received - *received_before <= bytes_max + kRowBytesSlack) return;
  if (!current.request->error)
    current.request->error = PgError{.kind = ErrorClass::kResultTooLarge,
                                     .message = "a row has more than " + std::to_string(bytes_max) + " bytes",
                                     .statement = current.statement,
                                     .outcome_unknown = current.request->batch.ends != Ends::kRolledBack};
  lose({.kind = ErrorClass::kConnectionLost, .message = "closed for an answer that is too large"});
}

bool Connection::Impl::read_answers() {
  for (int i = 0; i < kAnswersPerTurn; ++i) {
    if (!is_open) return true;
    if (!owed.empty() && owed.front().what == What::kStatement && !owed.front().row_by_row)
      owed.front().row_by_row = pq.PQsetSingleRowMode(conn.get()) == 1;
    if (pq.PQisBusy(conn.get()) != 0 || owed.empty()) {
      send_waiting();
      return i > 0;
    }
    const PgResult result(pq.PQgetResult(conn.get()), pq.PQclear);
    if (result) {
      take(result.get());
    } else {
      owed.pop_front();  // it stands behind all results of a statement
    }
  }
  is_reading_later = true;
  boost::asio::post(io, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->is_open) return;
    self->is_reading_later = false;
    self->read_answers();
  });
  return true;
}

void Connection::Impl::take(PGresult* result) {
  const Owed current = owed.front();
  switch (pq.PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
      owed.pop_front();
      if (current.what == What::kLastSync) finish(current.request);
      return;
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
      if (current.what != What::kStatement) return;
      if (!goes_back(current.request->batch.statements[static_cast<std::size_t>(current.statement)]))
        check_tag(pq.PQcmdStatus(result), *current.request);
      take_rows(result, *current.request, current.statement);
      return;
    case PGRES_PIPELINE_ABORTED:  // skipped: the error is known
      return take_skipped(*current.request, current);
    case PGRES_FATAL_ERROR:
      return take_error(result);
    default:  // COPY, which has no place in a batch
      if (!current.request->error)
        current.request->error = PgError{.message = "COPY is not possible here", .statement = current.statement};
      return lose({.kind = ErrorClass::kConnectionLost, .message = "closed for a COPY that another batch began"});
  }
}

void Connection::Impl::take_rows(PGresult* result, Request& request, int statement) {
  if (request.is_abandoned || request.error) return;
  Rows& rows = request.results[static_cast<std::size_t>(statement)];
  const int columns = pq.PQnfields(result);
  if (rows.columns() == 0) {
    for (int column = 0; column < columns; ++column) rows.add_column(pq.PQfname(result, column));
  }
  for (int row = 0; row < pq.PQntuples(result); ++row) {
    ++request.rows;
    for (int column = 0; column < columns; ++column)
      request.bytes += static_cast<std::size_t>(pq.PQgetlength(result, row, column));
    check_limits(request, statement);
    if (request.error) return;
    for (int column = 0; column < columns; ++column) {
      const auto length = static_cast<std::size_t>(pq.PQgetlength(result, row, column));
      if (pq.PQgetisnull(result, row, column) != 0) {
        rows.add_field(std::nullopt);
      } else {
        rows.add_field(std::string_view(pq.PQgetvalue(result, row, column), length));
      }
    }
  }
  if (pq.PQresultStatus(result) != PGRES_SINGLE_TUPLE) rows.set_command_tag(pq.PQcmdStatus(result));
}

// libpq tells the state of the transaction only when nothing is under way. But only these commands change it.
void Connection::Impl::check_tag(const char* tag, Request& request) const {
  if (!is_exclusive && std::ranges::find(kTransactionTags, tag) != std::end(kTransactionTags))
    request.has_strayed = true;
}

void Connection::Impl::take_skipped(Request& request, const Owed& skipped) const {
  if (!request.in_sections || skipped.what != What::kStatement || request.failed < 0) return;
  request.errors[static_cast<std::size_t>(skipped.statement)] =
      request.errors[static_cast<std::size_t>(request.failed)];
}

// The server goes on sending until it is told not to, or has sent all.
void Connection::Impl::check_limits(Request& request, int statement) {
  const ResultLimits& limits = request.batch.limits;
  if (request.rows <= limits.rows && request.bytes <= limits.bytes) return;
  request.error = PgError{
      .kind = ErrorClass::kResultTooLarge,
      .message = "more than " + std::to_string(limits.rows) + " rows or " + std::to_string(limits.bytes) + " bytes",
      .statement = statement,
      .outcome_unknown = request.batch.ends == Ends::kCommitted};
  request.results.clear();
  if (sent == 1 && !request.is_cancelled) begin_cancel(requests.front());
}

void Connection::Impl::take_error(PGresult* result) {
  const Owed current = owed.front();
  PgError error = error_of(result);
  const std::string severity = text_of(pq.PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED));
  if (severity == "FATAL" || severity == "PANIC" || severity.empty()) {  // empty: libpq's own, the connection broke
    if (!last_words) {
      error.kind = ErrorClass::kConnectionLost;
      last_words = std::move(error);
    }
    return lose(lost_error(""));
  }
  if (current.what == What::kPrepared) {
    // It is prepared anew when it is asked for again; those that were sent meanwhile fail for the same reason.
    std::erase_if(prepared, [&](const auto& entry) { return entry.second == current.prepared; });
    current.prepared->failure = std::move(error);
    return;
  }
  if (current.prepared) {
    if (current.prepared->failure) error = *current.prepared->failure;
    if (std::ranges::find(kPreparedStates, error.sqlstate) != std::end(kPreparedStates))
      std::erase_if(prepared, [&](const auto& entry) { return entry.second == current.prepared; });
  }
  Request& request = *current.request;
  // The ROLLBACK: it stands before the last Sync.
  if (current.what == What::kOwnStatement && owed.size() > 1 && owed[1].what == What::kLastSync)
    request.has_strayed = true;
  // A batch that stopped for its size committed nothing after all: cancelled.
  if (request.error) {
    request.error->outcome_unknown = false;
    return;
  }
  error.statement = current.statement;
  if (request.in_sections && current.what == What::kStatement) {
    request.failed = current.statement;
    request.errors[static_cast<std::size_t>(current.statement)] = std::move(error);
    return;
  }
  request.error = std::move(error);
}

PgError Connection::Impl::error_of(PGresult* result) const {
  const auto field = [&](int code) { return text_of(pq.PQresultErrorField(result, code)); };
  PgError error{.sqlstate = field(PG_DIAG_SQLSTATE),
                .message = field(PG_DIAG_MESSAGE_PRIMARY),
                .detail = field(PG_DIAG_MESSAGE_DETAIL),
                .hint = field(PG_DIAG_MESSAGE_HINT),
                .table = field(PG_DIAG_TABLE_NAME),
                .constraint = field(PG_DIAG_CONSTRAINT_NAME),
                .position = atoi(field(PG_DIAG_STATEMENT_POSITION).c_str())};
  if (error.message.empty()) error.message = one_line(text_of(pq.PQresultErrorMessage(result)));
  error.message = one_line(error.message);
  if (error.sqlstate != "57014") return error;
  // query_canceled has one code for both, and texts in the server's language.
  const Request& request = *owed.front().request;
  const auto timeout = request.batch.statement_timeout.value_or(settings.statement_timeout);
  const bool is_late = Clock::now() - front_since >= timeout * 9 / 10;
  error.kind = !request.is_cancelled && is_late ? ErrorClass::kTimeOut : ErrorClass::kCancelled;
  return error;
}

PgError Connection::Impl::lost_error(const std::string& fallback) const {
  if (last_words) return *last_words;
  const std::string said = one_line(text_of(pq.PQerrorMessage(conn.get())));
  return {.kind = ErrorClass::kConnectionLost, .message = said.empty() ? fallback : said};
}

bool Connection::Impl::leaves_something(const Request& request) const {
  if (is_exclusive) return false;
  const PGTransactionStatusType status = pq.PQtransactionStatus(conn.get());
  return request.has_strayed || status == PQTRANS_INTRANS || status == PQTRANS_INERROR || !is_as_at_login();
}

void Connection::Impl::finish(const std::shared_ptr<Request>& request) {
  RT_CHECK(!requests.empty() && requests.front() == request);
  // What was sent behind may have run in it, so nothing more of this connection is believed.
  if (leaves_something(*request)) {
    if (!request->error)
      request->error = PgError{.message = "the batch left a transaction, a role or a setting behind",
                               .outcome_unknown = request->batch.ends != Ends::kRolledBack};
    return lose({.kind = ErrorClass::kConnectionLost, .message = "closed for what another batch left behind"});
  }
  requests.pop_front();
  --sent;
  front_since = Clock::now();
  request->answered.set();
}

// --- Time

Duration Connection::Impl::patience(const Request& request) const {
  if (request.batch.patience) return *request.batch.patience;
  const auto timeout = request.batch.statement_timeout.value_or(settings.statement_timeout);
  // The server keeps small answers back until the end of the batch.
  return timeout * std::max<std::size_t>(request.batch.statements.size(), 1) + settings.answer_grace;
}

// A server that acknowledges and does not answer is noticed by nobody else. One timer, set anew when it ends, not at
// each batch.
void Connection::Impl::watch() {
  if (!is_open || sent == 0 || std::exchange(is_watched, true)) return;
  watchdog.expires_at(front_since + patience(*requests.front()));
  watchdog.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error || !self->is_open) return;
    self->is_watched = false;
    if (self->sent > 0 && Clock::now() >= self->front_since + self->patience(*self->requests.front()))
      return self->lose({.kind = ErrorClass::kTimeOut, .message = "no answer in time from the server"});
    self->watch();
  });
}

}  // namespace rt::postgres
