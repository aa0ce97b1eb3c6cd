// Columns are named and typed as in the Postgres control database, so that one description serves both. What this
// version does not use (migrations_ran, feature_flags, ...) is there already and is left alone by updates.
//
// PRAGMA user_version counts the migrations a file has seen. It is written in the transaction of the migration, so a
// crash leaves the file at one version or the other.
#include "io/store/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

namespace rt::store {
namespace {

constexpr int kBusyTimeoutMs = 5000;

// One entry takes a file from version i to version i + 1. Entries are never changed once released, only added.
constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE tenants (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT,
  external_id TEXT,
  jwt_secret TEXT,
  jwt_jwks TEXT,
  postgres_cdc_default TEXT DEFAULT 'postgres_cdc_rls',
  max_concurrent_users INTEGER NOT NULL DEFAULT 200,
  max_events_per_second INTEGER NOT NULL DEFAULT 100,
  max_presence_events_per_second INTEGER DEFAULT 1000,
  max_payload_size_in_kb INTEGER DEFAULT 3000,
  max_bytes_per_second INTEGER NOT NULL DEFAULT 100000,
  max_channels_per_client INTEGER NOT NULL DEFAULT 100,
  max_joins_per_second INTEGER NOT NULL DEFAULT 500,
  max_client_presence_events_per_window INTEGER,
  client_presence_window_ms INTEGER,
  suspend INTEGER DEFAULT 0 CHECK (suspend IN (0, 1)),
  private_only INTEGER NOT NULL DEFAULT 0 CHECK (private_only IN (0, 1)),
  presence_enabled INTEGER NOT NULL DEFAULT 0 CHECK (presence_enabled IN (0, 1)),
  migrations_ran INTEGER DEFAULT 0,
  broadcast_adapter TEXT DEFAULT 'gen_rpc',
  notify_private_alpha INTEGER DEFAULT 0 CHECK (notify_private_alpha IN (0, 1)),
  feature_flags TEXT NOT NULL DEFAULT '{}',
  gcm_migrated_at TEXT,
  inserted_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  CONSTRAINT jwt_secret_or_jwt_jwks_required CHECK (jwt_secret IS NOT NULL OR jwt_jwks IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX tenants_external_id_index ON tenants (external_id);
)sql",
    R"sql(
CREATE TABLE extensions (
  id TEXT PRIMARY KEY NOT NULL,
  type TEXT,
  settings TEXT,
  tenant_external_id TEXT REFERENCES tenants (external_id) ON DELETE CASCADE,
  inserted_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX extensions_tenant_external_id_index ON extensions (tenant_external_id);
CREATE UNIQUE INDEX extensions_tenant_external_id_type_index ON extensions (tenant_external_id, type);
)sql",
};
constexpr int kVersion = static_cast<int>(std::size(kMigrations));

// The parameter names one tenant, or is null for all.
constexpr const char* kSelectTenants = R"sql(
SELECT id, external_id, name, jwt_secret, jwt_jwks, max_concurrent_users, max_events_per_second,
       coalesce(max_presence_events_per_second, 1000), max_joins_per_second, max_channels_per_client,
       max_bytes_per_second, coalesce(max_payload_size_in_kb, 3000), coalesce(suspend, 0), private_only,
       presence_enabled, coalesce(migrations_ran, 0), max_client_presence_events_per_window, client_presence_window_ms,
       coalesce(postgres_cdc_default, 'postgres_cdc_rls'), coalesce(broadcast_adapter, 'gen_rpc'), feature_flags,
       strftime('%Y-%m-%dT%H:%M:%S', inserted_at)
FROM tenants WHERE external_id IS NOT NULL AND external_id = coalesce(?, external_id) ORDER BY external_id
)sql";

// In the order of the tenants above; the parameter is the same.
constexpr const char* kSelectExtensions = R"sql(
SELECT tenant_external_id, id, coalesce(type, ''), coalesce(settings, '{}'),
       strftime('%Y-%m-%dT%H:%M:%S', inserted_at), strftime('%Y-%m-%dT%H:%M:%S', updated_at)
FROM extensions WHERE tenant_external_id = coalesce(?, tenant_external_id) ORDER BY tenant_external_id, type
)sql";

// The parameters stand in the order of the columns above, as far as they are written.
constexpr const char* kUpsertTenant = R"sql(
INSERT INTO tenants (id, external_id, name, jwt_secret, jwt_jwks, max_concurrent_users, max_events_per_second,
                     max_presence_events_per_second, max_joins_per_second, max_channels_per_client,
                     max_bytes_per_second, max_payload_size_in_kb, suspend, private_only, presence_enabled,
                     migrations_ran, max_client_presence_events_per_window, client_presence_window_ms,
                     postgres_cdc_default, broadcast_adapter, feature_flags, inserted_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, datetime('now'), datetime('now'))
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
VALUES (?, ?, ?, ?, datetime('now'), datetime('now'))
)sql";

struct DatabaseCloser {
  void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, DatabaseCloser>;

struct StatementCloser {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementCloser>;

// A prepared statement while it runs: binds its parameters from left to right, reads its columns likewise.
class Run {
 public:
  explicit Run(sqlite3_stmt* statement) : statement_(statement) {}
  ~Run() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);  // secrets do not linger, and the lent texts are let go
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Texts are lent until the run ends.
  void bind(std::string_view text) {
    sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  void bind_or_null(std::optional<std::string_view> text) {
    if (text) {
      bind(*text);
    } else {
      sqlite3_bind_null(statement_, ++bound_);
    }
  }
  void bind(std::int64_t value) { sqlite3_bind_int64(statement_, ++bound_, value); }
  void bind_or_null(std::optional<std::int64_t> value) {
    if (value) {
      bind(*value);
    } else {
      sqlite3_bind_null(statement_, ++bound_);
    }
  }

  // SQLITE_ROW, SQLITE_DONE or an error.
  int step() {
    read_ = 0;
    return sqlite3_step(statement_);
  }
  std::int64_t integer() { return sqlite3_column_int64(statement_, read_++); }
  std::optional<std::int64_t> optional_integer() {
    const int column = read_++;
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
    return sqlite3_column_int64(statement_, column);
  }
  std::optional<std::string> optional_text() {
    const int column = read_++;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (text == nullptr) return std::nullopt;
    return std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
  }
  std::string text() { return optional_text().value_or(""); }

 private:
  sqlite3_stmt* statement_;
  int bound_ = 0;
  int read_ = 0;
};

TenantRecord read_tenant(Run& row) {
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
  for (bool* flag : {&tenant.suspended, &tenant.private_only, &tenant.presence_enabled}) *flag = row.integer() != 0;
  tenant.migrations_ran = row.integer();
  limits.client_presence_events_max = row.optional_integer();
  limits.client_presence_window_ms = row.optional_integer();
  for (std::string* text : {&tenant.cdc_default, &tenant.broadcast_adapter, &tenant.feature_flags}) *text = row.text();
  tenant.inserted_at = row.text();
  return tenant;
}

void bind_tenant(Run& run, const TenantRecord& tenant) {
  run.bind(tenant.id);
  run.bind(tenant.external_id);
  run.bind(tenant.name);
  run.bind_or_null(tenant.jwt_secret.empty() ? std::nullopt : std::optional<std::string_view>(tenant.jwt_secret));
  run.bind_or_null(tenant.jwt_jwks);
  const TenantLimits& limits = tenant.limits;
  for (const std::int64_t limit :
       {limits.concurrent_users_max, limits.events_per_second_max, limits.presence_events_per_second_max,
        limits.joins_per_second_max, limits.channels_per_client_max, limits.bytes_per_second_max,
        limits.payload_kb_max}) {
    run.bind(limit);
  }
  for (const bool flag : {tenant.suspended, tenant.private_only, tenant.presence_enabled}) run.bind(std::int64_t{flag});
  run.bind(tenant.migrations_ran);
  run.bind_or_null(limits.client_presence_events_max);
  run.bind_or_null(limits.client_presence_window_ms);
  for (const std::string* text : {&tenant.cdc_default, &tenant.broadcast_adapter, &tenant.feature_flags})
    run.bind(std::string_view(*text));
}

// An open file of any version.
class Connection {
 public:
  static Result<Connection> open(const std::string& path) {
    if (const auto made = make_file(path); !made) return fail(made.error().message);
    sqlite3* raw = nullptr;
    const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, nullptr);
    Connection connection(path, Database(raw));
    if (opened != SQLITE_OK) return connection.failed("opening");
    sqlite3_busy_timeout(raw, kBusyTimeoutMs);
    if (const auto set = connection.execute("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON"); !set) {
      return fail(set.error().message);
    }
    return connection;
  }

  Result<void> execute(const char* sql) {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed("setting up");
    return {};
  }

  Result<Statement> prepare(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
      return failed("setting up");
    }
    return Statement(raw);
  }

  // What SQLite says about the last call.
  tl::unexpected<Error> failed(std::string_view doing) const {
    const char* why = database_ ? sqlite3_errmsg(database_.get()) : "out of memory";
    return fail(std::string(doing) + " the control store " + path_ + ": " + why);
  }

  const std::string& path() const { return path_; }
  int changes() const { return sqlite3_changes(database_.get()); }  // rows, by the last statement

 private:
  Connection(std::string path, Database database) : path_(std::move(path)), database_(std::move(database)) {}

  // Before SQLite does, because it would leave the mode to the umask. The WAL beside it gets the mode of the file.
  static Result<void> make_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
      close(fd);
    } else if (errno != EEXIST) {
      return fail("making the control store " + path + ": " + std::strerror(errno));
    }
    return {};
  }

  std::string path_;
  Database database_;
};

Result<int> version_of(Connection& connection) {
  const auto statement = connection.prepare("PRAGMA user_version");
  if (!statement) return fail(statement.error().message);
  Run run(statement->get());
  if (run.step() != SQLITE_ROW) return connection.failed("reading the version of");
  return static_cast<int>(run.integer());
}

Result<void> apply_missing_migrations(Connection& connection) {
  const auto version = version_of(connection);
  if (!version) return fail(version.error().message);
  if (*version < 0 || *version > kVersion) {
    return fail("the control store " + connection.path() + " has schema version " + std::to_string(*version) +
                ", and this program knows versions up to " + std::to_string(kVersion) +
                ": use the newer program that wrote it, or another data directory");
  }
  if (*version == kVersion) return {};
  for (int next = *version; next < kVersion; ++next) {
    if (const auto applied = connection.execute(kMigrations[next]); !applied) return applied;
  }
  return connection.execute(("PRAGMA user_version = " + std::to_string(kVersion)).c_str());
}

// The write lock is taken first, so that of two programs one migrates and the other finds it done.
Result<void> migrate(Connection& connection) {
  if (const auto begun = connection.execute("BEGIN IMMEDIATE"); !begun) return begun;
  auto applied = apply_missing_migrations(connection);
  if (applied) return connection.execute("COMMIT");
  if (const auto undone = connection.execute("ROLLBACK"); !undone) {
    return fail(applied.error().message + "; then " + undone.error().message);
  }
  return applied;
}

// Rolled back unless it is committed.
class Transaction {
 public:
  static Result<Transaction> begin(Connection& connection) {
    if (const auto begun = connection.execute("BEGIN IMMEDIATE"); !begun) return tl::make_unexpected(begun.error());
    return Transaction(connection);
  }
  Transaction(Transaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction() {
    if (connection_ != nullptr) std::ignore = connection_->execute("ROLLBACK");
  }
  Result<void> commit() {
    auto committed = connection_->execute("COMMIT");
    if (committed) connection_ = nullptr;
    return committed;
  }

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}

  Connection* connection_;
};

struct Statements {
  Statement select_tenants;
  Statement select_extensions;
  Statement upsert_tenant;
  Statement delete_tenant;
  Statement delete_extensions;
  Statement insert_extension;
  Statement data_version;
};

Result<Statements> prepare_all(Connection& connection) {
  Statements out;
  const std::pair<Statement*, const char*> all[] = {
      {&out.select_tenants, kSelectTenants},
      {&out.select_extensions, kSelectExtensions},
      {&out.upsert_tenant, kUpsertTenant},
      {&out.delete_tenant, "DELETE FROM tenants WHERE external_id = ?"},
      {&out.delete_extensions, "DELETE FROM extensions WHERE tenant_external_id = ?"},
      {&out.insert_extension, kInsertExtension},
      {&out.data_version, "PRAGMA data_version"},
  };
  for (const auto& [statement, sql] : all) {
    auto prepared = connection.prepare(sql);
    if (!prepared) return tl::make_unexpected(prepared.error());
    *statement = std::move(*prepared);
  }
  return out;
}

class SqliteStore final : public ControlStore {
 public:
  SqliteStore(Connection connection, Statements statements)
      : connection_(std::move(connection)), statements_(std::move(statements)) {}

  Result<std::vector<TenantRecord>> load_tenants() override { return load(std::nullopt); }

  Result<std::optional<TenantRecord>> find_tenant(std::string_view external_id) override {
    auto found = load(external_id);
    if (!found) return tl::make_unexpected(found.error());
    if (found->empty()) return std::optional<TenantRecord>();
    return std::optional<TenantRecord>(std::move(found->front()));
  }

  Result<std::optional<TenantRecord>> change_tenant(const std::string& external_id, const Change& change) override {
    auto transaction = Transaction::begin(connection_);
    if (!transaction) return tl::make_unexpected(transaction.error());
    auto current = find_tenant(external_id);
    if (!current) return current;
    const auto write = change(*current);
    if (!write) return current;
    if (const auto put = put_rows(*write); !put) return tl::make_unexpected(put.error());
    auto changed = find_tenant(external_id);  // with the times that are now
    if (!changed) return changed;
    if (const auto committed = transaction->commit(); !committed) return tl::make_unexpected(committed.error());
    return changed;
  }

  Result<bool> delete_tenant(std::string_view external_id) override {
    Run run(statements_.delete_tenant.get());
    run.bind(external_id);
    if (run.step() != SQLITE_DONE) return connection_.failed("deleting tenant " + std::string(external_id) + " from");
    return connection_.changes() > 0;
  }

  // The number moves when another connection commits, not when this one does (SQLite manual, PRAGMA data_version).
  Result<bool> has_changed() override {
    Run run(statements_.data_version.get());
    if (run.step() != SQLITE_ROW) return connection_.failed("reading the version of the data in");
    return std::exchange(data_version_, run.integer()) != data_version_;
  }

 private:
  Result<void> put_rows(const Write& write) {
    const std::string& name = write.record.external_id;
    const std::string doing = "writing tenant " + name + " to";
    {
      Run run(statements_.upsert_tenant.get());
      bind_tenant(run, write.record);
      if (run.step() != SQLITE_DONE) return connection_.failed(doing);
    }
    if (write.extensions == Extensions::kKeep) return {};
    Run clear(statements_.delete_extensions.get());
    clear.bind(name);
    if (clear.step() != SQLITE_DONE) return connection_.failed(doing);
    for (const TenantExtension& extension : write.record.extensions) {
      Run insert(statements_.insert_extension.get());
      for (const std::string* text : {&extension.id, &extension.type, &extension.settings, &name})
        insert.bind(std::string_view(*text));
      if (insert.step() != SQLITE_DONE) return connection_.failed(doing);
    }
    return {};
  }

  Result<std::vector<TenantRecord>> load(std::optional<std::string_view> external_id) {
    std::vector<TenantRecord> tenants;
    Run run(statements_.select_tenants.get());
    run.bind_or_null(external_id);
    int stepped;
    while ((stepped = run.step()) == SQLITE_ROW) tenants.push_back(read_tenant(run));
    if (stepped != SQLITE_DONE) return connection_.failed("reading tenants from");
    if (const auto loaded = load_extensions(external_id, tenants); !loaded) return tl::make_unexpected(loaded.error());
    return tenants;
  }

  // Both are in the order of the tenants' names.
  Result<void> load_extensions(std::optional<std::string_view> external_id, std::vector<TenantRecord>& tenants) {
    Run run(statements_.select_extensions.get());
    run.bind_or_null(external_id);
    auto tenant = tenants.begin();
    int stepped;
    while ((stepped = run.step()) == SQLITE_ROW) {
      const std::string name = run.text();
      while (tenant != tenants.end() && tenant->external_id < name) ++tenant;
      if (tenant == tenants.end() || tenant->external_id != name) continue;
      TenantExtension& extension = tenant->extensions.emplace_back();
      for (std::string* text :
           {&extension.id, &extension.type, &extension.settings, &extension.inserted_at, &extension.updated_at})
        *text = run.text();
    }
    if (stepped != SQLITE_DONE) return connection_.failed("reading extensions from");
    return {};
  }

  Connection connection_;
  Statements statements_;  // closed before their connection
  std::int64_t data_version_ = 0;
};

}  // namespace

Result<std::unique_ptr<ControlStore>> open_sqlite_store(const std::string& path) {
  auto connection = Connection::open(path);
  if (!connection) return fail(connection.error().message);
  if (const auto migrated = migrate(*connection); !migrated) return fail(migrated.error().message);
  auto statements = prepare_all(*connection);
  if (!statements) return tl::make_unexpected(statements.error());
  return std::make_unique<SqliteStore>(std::move(*connection), std::move(*statements));
}

}  // namespace rt::store
