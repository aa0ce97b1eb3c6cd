// Columns are named and typed as in the Postgres control database, so that one description serves both.
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

#include "io/store/database.h"

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
    R"sql(
CREATE TABLE feature_flags (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 0 CHECK (enabled IN (0, 1)),
  rollout_percentage INTEGER NOT NULL DEFAULT 100,
  bucket_key TEXT,
  inserted_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  CONSTRAINT rollout_percentage_must_be_between_0_and_100 CHECK (rollout_percentage BETWEEN 0 AND 100)
) STRICT;
CREATE UNIQUE INDEX feature_flags_name_index ON feature_flags (name);
)sql",
};
constexpr int kVersion = static_cast<int>(std::size(kMigrations));

const Dialect kDialect{
    .now = "datetime('now')", .before_time = "strftime('%Y-%m-%dT%H:%M:%S', ", .behind_time = ")", .lock_tenant = {}};

struct DatabaseCloser {
  void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
};
using DatabaseHandle = std::unique_ptr<sqlite3, DatabaseCloser>;

struct StatementCloser {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementCloser>;

// The row at which a statement stands.
class StatementRow final : public Row {
 public:
  explicit StatementRow(sqlite3_stmt* statement) : statement_(statement) {}
  std::optional<std::string> optional_text() override {
    const int column = read_++;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (text == nullptr) return std::nullopt;
    return std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3_stmt* statement_;
  int read_ = 0;
};

// An open file of any version.
class Connection {
 public:
  static Result<Connection> open(const std::string& path) {
    if (const auto made = make_file(path); !made) return fail(made.error().message);
    sqlite3* raw = nullptr;
    const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, nullptr);
    Connection connection(path, DatabaseHandle(raw));
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

  // One statement. Gives how many rows it has changed.
  Result<std::int64_t> run(const std::string& sql, const Parameters& parameters, std::string_view doing,
                           const Database::OnRow& on_row) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) return failed(doing);
    const Statement statement(raw);
    for (int i = 0; i < static_cast<int>(parameters.size()); ++i) {
      if (const auto& text = parameters[static_cast<std::size_t>(i)])  // null unless it is bound
        sqlite3_bind_text64(raw, i + 1, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    int stepped;
    while ((stepped = sqlite3_step(raw)) == SQLITE_ROW) {
      StatementRow row(raw);
      if (on_row) on_row(row);
    }
    if (stepped != SQLITE_DONE) return failed(doing);
    return sqlite3_changes(database_.get());
  }

  // The one value of a statement that gives one.
  Result<std::int64_t> integer(const std::string& sql, std::string_view doing) {
    std::int64_t value = 0;
    auto ran = run(sql, {}, doing, [&value](Row& row) { value = row.integer(); });
    if (!ran) return ran;
    return value;
  }

  // What SQLite says about the last call.
  tl::unexpected<Error> failed(std::string_view doing) const {
    const char* why = database_ ? sqlite3_errmsg(database_.get()) : "out of memory";
    return fail(std::string(doing) + " the control store " + path_ + ": " + why);
  }

  const std::string& path() const { return path_; }
  bool refuses_data() const { return (sqlite3_errcode(database_.get()) & 0xff) == SQLITE_CONSTRAINT; }

 private:
  Connection(std::string path, DatabaseHandle database) : path_(std::move(path)), database_(std::move(database)) {}

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
  DatabaseHandle database_;
};

Result<void> apply_missing_migrations(Connection& connection) {
  const auto version = connection.integer("PRAGMA user_version", "reading the version of");
  if (!version) return fail(version.error().message);
  if (*version < 0 || *version > kVersion) {
    return fail("the control store " + connection.path() + " has schema version " + std::to_string(*version) +
                ", and this program knows versions up to " + std::to_string(kVersion) +
                ": use the newer program that wrote it, or another data directory");
  }
  if (*version == kVersion) return {};
  for (std::int64_t next = *version; next < kVersion; ++next) {
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

class SqliteDatabase final : public Database {
 public:
  explicit SqliteDatabase(Connection connection) : connection_(std::move(connection)) {}

  const Dialect& dialect() const override { return kDialect; }
  Result<void> set_up() override { return {}; }  // it was, when it was opened

  Result<void> with(Access access, const Work& work) override {
    failure_ = Failure::kUnavailable;
    if (access == Access::kRead) return work();
    if (const auto begun = connection_.execute("BEGIN IMMEDIATE"); !begun) return begun;
    auto done = work();
    if (done) done = connection_.execute("COMMIT");
    // Where SQLite has rolled back by itself, there is nothing to roll back.
    if (!done) std::ignore = connection_.execute("ROLLBACK");
    return done;
  }

  Result<std::int64_t> run(const std::string& sql, const Parameters& parameters, std::string_view doing,
                           const OnRow& on_row) override {
    auto ran = connection_.run(sql, parameters, doing, on_row);
    if (!ran) failure_ = connection_.refuses_data() ? Failure::kOfData : Failure::kUnavailable;
    return ran;
  }

  // The number moves when another connection commits, not when this one does (SQLite manual, PRAGMA data_version).
  Result<bool> has_changed() override {
    const auto version = connection_.integer("PRAGMA data_version", "reading the version of the data in");
    if (!version) return tl::make_unexpected(version.error());
    return std::exchange(data_version_, *version) != data_version_;
  }

  bool is_shared() const override { return false; }
  Failure last_failure() const override { return failure_; }
  void interrupt() override {}

 private:
  Connection connection_;
  Failure failure_ = Failure::kUnavailable;
  std::int64_t data_version_ = 0;
};

}  // namespace

Result<std::unique_ptr<ControlStore>> open_sqlite_store(const std::string& path) {
  auto connection = Connection::open(path);
  if (!connection) return fail(connection.error().message);
  if (const auto migrated = migrate(*connection); !migrated) return fail(migrated.error().message);
  return std::make_unique<ControlStore>(std::make_unique<SqliteDatabase>(std::move(*connection)));
}

}  // namespace rt::store
