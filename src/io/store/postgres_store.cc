// libpq, blocking: the registry's thread may wait (Postgres manual, chapter 34). A statement that finds its connection
// broken is sent again on a new one, once: all of them have the same effect when they are run twice.
#include "io/store/postgres_store.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <tuple>
#include <utility>
#include <vector>

#include "io/store/postgres_schema.h"

namespace rt::store {
namespace {

constexpr const char* kConnectTimeoutSeconds = "5";
constexpr const char* kTcpTimeoutMs = "10000";
constexpr std::chrono::seconds kAnswerTimeout{12};  // longer than the server's own statement_timeout
constexpr int kPollMs = 50;
// Also where the database cannot be asked for parameters at connect, behind a pooler.
constexpr const char* kSessionSettings =
    "SET statement_timeout = 10000; SET lock_timeout = 10000; SET timezone = 'UTC'";
// Any number that no other program is likely to lock.
constexpr const char* kLockMigrations = "SELECT pg_advisory_xact_lock(7305790137141841015)";

constexpr const char* kSelectTenants = R"sql(
SELECT id, external_id, name, jwt_secret, jwt_jwks, max_concurrent_users, max_events_per_second,
       coalesce(max_presence_events_per_second, 1000), max_joins_per_second, max_channels_per_client,
       max_bytes_per_second, coalesce(max_payload_size_in_kb, 3000), coalesce(suspend, false), private_only,
       presence_enabled, coalesce(migrations_ran, 0), max_client_presence_events_per_window, client_presence_window_ms,
       coalesce(postgres_cdc_default, 'postgres_cdc_rls'), coalesce(broadcast_adapter, 'gen_rpc'), feature_flags,
       to_char(inserted_at, 'YYYY-MM-DD"T"HH24:MI:SS')
FROM tenants WHERE external_id IS NOT NULL AND ($1::text IS NULL OR external_id = $1::text)
ORDER BY external_id COLLATE "C"
)sql";

constexpr const char* kSelectExtensions = R"sql(
SELECT tenant_external_id, id, coalesce(type, ''), coalesce(settings, '{}'),
       to_char(inserted_at, 'YYYY-MM-DD"T"HH24:MI:SS'), to_char(updated_at, 'YYYY-MM-DD"T"HH24:MI:SS')
FROM extensions WHERE tenant_external_id IS NOT NULL AND ($1::text IS NULL OR tenant_external_id = $1::text)
ORDER BY tenant_external_id COLLATE "C", type COLLATE "C"
)sql";

// The parameters stand in the order of the columns above, as far as they are written.
constexpr const char* kUpsertTenant = R"sql(
INSERT INTO tenants (id, external_id, name, jwt_secret, jwt_jwks, max_concurrent_users, max_events_per_second,
                     max_presence_events_per_second, max_joins_per_second, max_channels_per_client,
                     max_bytes_per_second, max_payload_size_in_kb, suspend, private_only, presence_enabled,
                     migrations_ran, max_client_presence_events_per_window, client_presence_window_ms,
                     postgres_cdc_default, broadcast_adapter, feature_flags, inserted_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
ON CONFLICT (external_id) DO UPDATE SET
  name = excluded.name, jwt_secret = excluded.jwt_secret, jwt_jwks = excluded.jwt_jwks,
  max_concurrent_users = excluded.max_concurrent_users, max_events_per_second = excluded.max_events_per_second,
  max_presence_events_per_second = excluded.max_presence_events_per_second,
  max_joins_per_second = excluded.max_joins_per_second, max_channels_per_client = excluded.max_channels_per_client,
  max_bytes_per_second = excluded.max_bytes_per_second, max_payload_size_in_kb = excluded.max_payload_size_in_kb,
  suspend = excluded.suspend, private_only = excluded.private_only, presence_enabled = excluded.presence_enabled,
  migrations_ran = excluded.migrations_ran,
  max_client_presence_events_per_window = excluded.max_client_presence_events_per_window,
  client_presence_window_ms = excluded.client_presence_window_ms, postgres_cdc_default = excluded.postgres_cdc_default,
  broadcast_adapter = excluded.broadcast_adapter, feature_flags = excluded.feature_flags,
  updated_at = excluded.updated_at
)sql";

constexpr const char* kInsertExtension = R"sql(
INSERT INTO extensions (id, type, settings, tenant_external_id, inserted_at, updated_at)
VALUES ($1, $2, $3, $4, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
)sql";

// Parameters in text form; they own their texts.
class Parameters {
 public:
  void add(std::string_view text) { texts_.emplace_back(text); }
  void add(std::int64_t value) { texts_.emplace_back(std::to_string(value)); }
  void add(bool value) { texts_.emplace_back(value ? "t" : "f"); }
  template <class T>
  void add_or_null(const std::optional<T>& value) {
    if (value) {
      add(*value);
    } else {
      texts_.emplace_back(std::nullopt);
    }
  }
  std::vector<const char*> pointers() const {
    std::vector<const char*> out;
    for (const auto& text : texts_) out.push_back(text ? text->c_str() : nullptr);
    return out;
  }

 private:
  std::vector<std::optional<std::string>> texts_;
};

struct ResultCloser {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Rows = std::unique_ptr<PGresult, ResultCloser>;

// Reads the columns of a row from left to right.
class Row {
 public:
  Row(const PGresult* rows, int row) : rows_(rows), row_(row) {}
  std::optional<std::string> optional_text() {
    const int column = column_++;
    if (PQgetisnull(rows_, row_, column) != 0) return std::nullopt;
    return std::string(PQgetvalue(rows_, row_, column), static_cast<std::size_t>(PQgetlength(rows_, row_, column)));
  }
  std::string text() { return optional_text().value_or(""); }
  bool boolean() { return text() == "t"; }
  std::optional<std::int64_t> optional_integer() {
    const auto given = optional_text();
    if (!given) return std::nullopt;
    std::int64_t value = 0;
    std::from_chars(given->data(), given->data() + given->size(), value);
    return value;
  }
  std::int64_t integer() { return optional_integer().value_or(0); }

 private:
  const PGresult* rows_;
  int row_;
  int column_ = 0;
};

TenantRecord read_tenant(Row row) {
  TenantRecord tenant;
  tenant.id = row.text();
  tenant.external_id = row.text();
  tenant.name = row.text();
  tenant.jwt_secret = row.text();
  tenant.jwt_jwks = row.optional_text();
  TenantLimits& limits = tenant.limits;
  for (std::int64_t* limit : {&limits.concurrent_users_max, &limits.events_per_second_max,
                              &limits.presence_events_per_second_max, &limits.joins_per_second_max,
                              &limits.channels_per_client_max, &limits.bytes_per_second_max, &limits.payload_kb_max}) {
    *limit = row.integer();
  }
  for (bool* flag : {&tenant.suspended, &tenant.private_only, &tenant.presence_enabled}) *flag = row.boolean();
  tenant.migrations_ran = row.integer();
  limits.client_presence_events_max = row.optional_integer();
  limits.client_presence_window_ms = row.optional_integer();
  for (std::string* text : {&tenant.cdc_default, &tenant.broadcast_adapter, &tenant.feature_flags}) *text = row.text();
  tenant.inserted_at = row.text();
  return tenant;
}

Parameters parameters_of(const TenantRecord& tenant) {
  Parameters out;
  out.add(tenant.id);
  out.add(tenant.external_id);
  out.add(tenant.name);
  out.add_or_null(tenant.jwt_secret.empty() ? std::nullopt : std::optional<std::string>(tenant.jwt_secret));
  out.add_or_null(tenant.jwt_jwks);
  const TenantLimits& limits = tenant.limits;
  for (const std::int64_t limit :
       {limits.concurrent_users_max, limits.events_per_second_max, limits.presence_events_per_second_max,
        limits.joins_per_second_max, limits.channels_per_client_max, limits.bytes_per_second_max,
        limits.payload_kb_max}) {
    out.add(limit);
  }
  for (const bool flag : {tenant.suspended, tenant.private_only, tenant.presence_enabled}) out.add(flag);
  out.add(tenant.migrations_ran);
  out.add_or_null(limits.client_presence_events_max);
  out.add_or_null(limits.client_presence_window_ms);
  for (const std::string* text : {&tenant.cdc_default, &tenant.broadcast_adapter, &tenant.feature_flags})
    out.add(std::string_view(*text));
  return out;
}

std::string one_line(std::string_view text) {
  std::string out(text.substr(0, text.find_last_not_of('\n') + 1));
  for (char& c : out) {
    if (c == '\n') c = ' ';
  }
  return out;
}

class Session {
 public:
  explicit Session(PostgresConfig config) : config_(std::move(config)) {}

  // Connects where there is no connection.
  Result<void> prepare() {
    is_of_data = false;
    if (interrupted) return fail("the server is stopping");
    if (!is_broken()) return {};
    connection_.reset(connect());
    if (!connection_) return fail(where() + ": out of memory");
    if (PQstatus(connection_.get()) != CONNECTION_OK) return failed("connecting to");
    // Without DETAIL and CONTEXT, which quote rows.
    PQsetErrorVerbosity(connection_.get(), PQERRORS_TERSE);
    auto set = run(kSessionSettings);
    if (set && !config_.after_connect_query.empty()) {
      set = run(config_.after_connect_query.c_str());
      if (!set) set = fail(set.error(), "DB_AFTER_CONNECT_QUERY");
    }
    if (!set) connection_.reset();  // or it would be used without
    return set;
  }

  bool is_broken() const { return !connection_ || PQstatus(connection_.get()) != CONNECTION_OK; }

  // Several statements, without parameters and rows.
  Result<void> run(const char* sql) {
    const auto rows = finish(PQsendQuery(connection_.get(), sql), "setting up");
    if (!rows) return tl::make_unexpected(rows.error());
    return {};
  }

  Result<Rows> query(const char* sql, const Parameters& parameters, std::string_view doing) {
    const std::vector<const char*> values = parameters.pointers();
    return finish(PQsendQueryParams(connection_.get(), sql, static_cast<int>(values.size()), nullptr, values.data(),
                                    nullptr, nullptr, 0),
                  doing);
  }

  bool is_of_data = false;                // the last failure
  std::atomic<bool> interrupted = false;  // from any thread

 private:
  struct Closer {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };

  PGconn* connect() const {
    const char* ssl_mode = !config_.uses_tls ? "disable" : config_.ca_file.empty() ? "require" : "verify-full";
    const char* const keywords[] = {"host",
                                    "port",
                                    "user",
                                    "password",
                                    "dbname",
                                    "sslmode",
                                    "sslrootcert",
                                    "connect_timeout",
                                    "tcp_user_timeout",
                                    "gssencmode",
                                    "application_name",
                                    "client_encoding",
                                    nullptr};
    const char* const values[] = {config_.host.c_str(),
                                  config_.port.c_str(),
                                  config_.user.c_str(),
                                  config_.password.c_str(),
                                  config_.database.c_str(),
                                  ssl_mode,
                                  config_.ca_file.empty() ? nullptr : config_.ca_file.c_str(),
                                  kConnectTimeoutSeconds,
                                  kTcpTimeoutMs,
                                  "disable",
                                  "supabase_mt_realtime",
                                  "UTF8",
                                  nullptr};
    return PQconnectdbParams(keywords, values, 0);
  }

  // The last result of what was sent, or the first failure.
  Result<Rows> finish(int sent, std::string_view doing) {
    is_of_data = false;
    if (sent == 0) return failed(doing);
    const auto deadline = std::chrono::steady_clock::now() + kAnswerTimeout;
    Rows last;
    while (true) {
      while (PQisBusy(connection_.get()) != 0) {
        if (interrupted || std::chrono::steady_clock::now() > deadline) return give_up(doing);
        pollfd readable{.fd = PQsocket(connection_.get()), .events = POLLIN, .revents = 0};
        if (poll(&readable, 1, kPollMs) > 0 && PQconsumeInput(connection_.get()) == 0) return failed(doing);
      }
      Rows next(PQgetResult(connection_.get()));
      if (!next) break;
      if (!last || !is_failure(last.get())) last = std::move(next);
    }
    if (!last || !is_failure(last.get())) return last;
    const char* state = PQresultErrorField(last.get(), PG_DIAG_SQLSTATE);
    const std::string_view kind = state == nullptr ? "" : std::string_view(state).substr(0, 2);
    is_of_data = kind == "22" || kind == "23";  // data exception, integrity constraint violation
    return fail(std::string(doing) + " " + where() + ": " + one_line(PQresultErrorMessage(last.get())));
  }

  static bool is_failure(const PGresult* result) {
    const ExecStatusType status = PQresultStatus(result);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
  }

  // A peer that acknowledges and does not answer is noticed by nobody else.
  tl::unexpected<Error> give_up(std::string_view doing) {
    shutdown(PQsocket(connection_.get()), SHUT_RDWR);
    connection_.reset();
    return fail(std::string(doing) + " " + where() + ": " +
                (interrupted ? "the server is stopping" : "no answer in time"));
  }

  std::string where() const {
    return "the control database " + config_.database + " on " + config_.host + ":" + config_.port;
  }

  tl::unexpected<Error> failed(std::string_view doing) const {
    return fail(std::string(doing) + " " + where() + ": " + one_line(PQerrorMessage(connection_.get())));
  }

  const PostgresConfig config_;
  std::unique_ptr<PGconn, Closer> connection_;
};

// In a transaction, under the locks that keep other nodes and the reference server out.
Result<void> migrate_locked(Session& session) {
  if (const auto locked = session.run(kLockMigrations); !locked) return locked;
  if (const auto made = session.run("CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY, "
                                    "inserted_at timestamp(0) without time zone)");
      !made)
    return made;
  if (const auto locked = session.run("LOCK TABLE schema_migrations IN SHARE UPDATE EXCLUSIVE MODE"); !locked)
    return locked;
  std::string known;
  for (const std::string_view version : kControlVersions) known.append(known.empty() ? "" : ",").append(version);
  const auto counted = session.query(
      ("SELECT count(*), count(*) FILTER (WHERE version IN (" + known + ")) FROM schema_migrations").c_str(), {},
      "reading the versions of");
  if (!counted) return tl::make_unexpected(counted.error());
  Row row(counted->get(), 0);
  const std::int64_t all = row.integer();
  const std::int64_t ours = row.integer();
  constexpr auto kVersions = static_cast<std::int64_t>(std::size(kControlVersions));
  if (ours == kVersions) return {};
  if (all > 0) {
    return fail("the control database has " + std::to_string(ours) + " of " + std::to_string(kVersions) +
                " migrations: bring this database to " + std::to_string(kVersions) +
                " with the previous server first, or give this one an empty schema");
  }
  if (const auto made = session.run(kControlTables); !made) return made;
  std::string rows;
  for (const std::string_view version : kControlVersions)
    rows.append(rows.empty() ? "(" : ",(").append(version).append(", now() AT TIME ZONE 'UTC')");
  return session.run(("INSERT INTO schema_migrations (version, inserted_at) VALUES " + rows).c_str());
}

Result<void> migrate(Session& session) {
  if (const auto begun = session.run("BEGIN"); !begun) return begun;
  auto migrated = migrate_locked(session);
  if (migrated) return session.run("COMMIT");
  if (!session.is_broken()) std::ignore = session.run("ROLLBACK");
  return migrated;
}

class PostgresStore final : public ControlStore {
 public:
  explicit PostgresStore(std::unique_ptr<Session> session) : session_(std::move(session)) {}

  Result<std::vector<TenantRecord>> load_tenants() override {
    return connected<std::vector<TenantRecord>>([this] { return load(std::nullopt); });
  }

  Result<std::optional<TenantRecord>> find_tenant(std::string_view external_id) override {
    return connected<std::optional<TenantRecord>>([&] { return find(std::string(external_id)); });
  }

  Result<std::optional<TenantRecord>> change_tenant(const std::string& external_id, const Change& change) override {
    return connected<std::optional<TenantRecord>>([&]() -> Result<std::optional<TenantRecord>> {
      if (const auto begun = session_->run("BEGIN"); !begun) return tl::make_unexpected(begun.error());
      auto changed = change_locked(external_id, change);
      if (changed) {
        if (const auto committed = session_->run("COMMIT"); !committed) return tl::make_unexpected(committed.error());
        return changed;
      }
      const bool is_of_data = session_->is_of_data;
      if (!session_->is_broken()) std::ignore = session_->run("ROLLBACK");
      session_->is_of_data = is_of_data;
      return changed;
    });
  }

  Result<bool> delete_tenant(std::string_view external_id) override {
    return connected<bool>([&]() -> Result<bool> {
      Parameters parameters;
      parameters.add(external_id);
      const auto deleted = session_->query("DELETE FROM tenants WHERE external_id = $1", parameters,
                                           "deleting tenant " + std::string(external_id) + " from");
      if (!deleted) return tl::make_unexpected(deleted.error());
      return std::string_view(PQcmdTuples(deleted->get())) != "0";
    });
  }

  // Others may write at any time, and nothing tells.
  Result<bool> has_changed() override { return true; }
  bool is_shared() const override { return true; }
  bool last_failure_is_of_data() const override { return session_->is_of_data; }
  void interrupt() override { session_->interrupted = true; }

 private:
  template <class T>
  Result<T> connected(const std::function<Result<T>()>& work) {
    for (bool is_second = false;; is_second = true) {
      if (const auto ready = session_->prepare(); !ready) return tl::make_unexpected(ready.error());
      auto result = work();
      if (result || is_second || !session_->is_broken() || session_->interrupted) return result;
    }
  }

  Result<std::vector<TenantRecord>> load(const std::optional<std::string>& external_id) {
    Parameters parameters;
    parameters.add_or_null(external_id);
    const auto rows = session_->query(kSelectTenants, parameters, "reading tenants from");
    if (!rows) return tl::make_unexpected(rows.error());
    std::vector<TenantRecord> tenants;
    for (int i = 0; i < PQntuples(rows->get()); ++i) tenants.push_back(read_tenant(Row(rows->get(), i)));

    const auto extensions = session_->query(kSelectExtensions, parameters, "reading extensions from");
    if (!extensions) return tl::make_unexpected(extensions.error());
    auto tenant = tenants.begin();  // both are in the order of the tenants' names
    for (int i = 0; i < PQntuples(extensions->get()); ++i) {
      Row row(extensions->get(), i);
      const std::string name = row.text();
      while (tenant != tenants.end() && tenant->external_id < name) ++tenant;
      if (tenant == tenants.end() || tenant->external_id != name) continue;
      TenantExtension& extension = tenant->extensions.emplace_back();
      for (std::string* text :
           {&extension.id, &extension.type, &extension.settings, &extension.inserted_at, &extension.updated_at})
        *text = row.text();
    }
    return tenants;
  }

  // In a transaction. The first lock is for a tenant that is not there yet, against other nodes; the second is one that
  // any other server has to wait for.
  Result<std::optional<TenantRecord>> change_locked(const std::string& external_id, const Change& change) {
    const std::string doing = "locking tenant " + external_id + " in";
    Parameters name;
    name.add(std::string_view(external_id));
    for (const char* lock : {"SELECT pg_advisory_xact_lock(hashtext('realtime tenant'), hashtext($1))",
                             "SELECT 1 FROM tenants WHERE external_id = $1 FOR UPDATE"}) {
      if (const auto locked = session_->query(lock, name, doing); !locked) return tl::make_unexpected(locked.error());
    }
    auto current = find(external_id);
    if (!current) return current;
    const auto write = change(*current);
    if (!write) return current;
    if (const auto put = put_rows(write->record, write->extensions); !put) return tl::make_unexpected(put.error());
    return find(external_id);  // with the times that are now
  }

  Result<std::optional<TenantRecord>> find(const std::string& external_id) {
    auto found = load(external_id);
    if (!found) return tl::make_unexpected(found.error());
    if (found->empty()) return std::optional<TenantRecord>();
    return std::optional<TenantRecord>(std::move(found->front()));
  }

  Result<void> put_rows(const TenantRecord& record, Extensions extensions) {
    const std::string doing = "writing tenant " + record.external_id + " to";
    if (const auto put = session_->query(kUpsertTenant, parameters_of(record), doing); !put)
      return tl::make_unexpected(put.error());
    if (extensions == Extensions::kKeep) return {};
    Parameters name;
    name.add(record.external_id);
    if (const auto cleared = session_->query("DELETE FROM extensions WHERE tenant_external_id = $1", name, doing);
        !cleared)
      return tl::make_unexpected(cleared.error());
    for (const TenantExtension& extension : record.extensions) {
      Parameters parameters;
      for (const std::string* text : {&extension.id, &extension.type, &extension.settings, &record.external_id})
        parameters.add(std::string_view(*text));
      if (const auto inserted = session_->query(kInsertExtension, parameters, doing); !inserted)
        return tl::make_unexpected(inserted.error());
    }
    return {};
  }

  const std::unique_ptr<Session> session_;
};

}  // namespace

Result<std::unique_ptr<ControlStore>> open_postgres_store(const PostgresConfig& config) {
  auto session = std::make_unique<Session>(config);
  if (const auto ready = session->prepare(); !ready) return tl::make_unexpected(ready.error());
  if (const auto migrated = migrate(*session); !migrated) return tl::make_unexpected(migrated.error());
  return std::make_unique<PostgresStore>(std::move(session));
}

}  // namespace rt::store
