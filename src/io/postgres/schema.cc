#include "io/postgres/schema.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <optional>
#include <vector>

#include "io/postgres/schema_files.h"

namespace rt::postgres {
namespace {

constexpr std::string_view kOurs = "tenant/ours";
// Of those who do the same; any number will do that others do not use.
constexpr const char* kTakeLock = "SELECT pg_advisory_xact_lock(7286532984510227)";
// Reads catalogs as tables: what to_regclass() knows may be older than the lock that was just got.
constexpr const char* kReadNote =
    "SELECT coalesce((SELECT d.description FROM pg_catalog.pg_proc p "
    "JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
    "JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass "
    "WHERE n.nspname = 'realtime' AND p.proname = 'datafuse_make_partition' LIMIT 1), ''), "
    "EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'realtime' AND c.relname = 'schema_migrations')";
constexpr std::string_view kNote = "Datafuse Realtime ";
// An operator or function of a user must not be taken for a built-in one: it would run with our rights.
constexpr const char* kSafePath = "SET LOCAL search_path TO pg_catalog, pg_temp";
constexpr std::chrono::milliseconds kPatience{60'000};

// What stands between lines `-- next`.
std::vector<std::string> statements_of(std::string_view text) {
  constexpr std::string_view kBetween = "-- next\n";
  std::vector<std::string> out;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t to = std::min(text.find(kBetween, from), text.size());
    out.emplace_back(text.substr(from, to - from));
    from = to + kBetween.size();
  }
  return out;
}

int number_of(std::string_view digits) {
  int out = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return out;
}

std::string note_of(int version) {
  return "COMMENT ON FUNCTION realtime.datafuse_make_partition(date) IS '" + std::string(kNote) +
         std::to_string(version) + "'";
}

SchemaState state_of(const Rows& rows) {
  const std::string_view note = rows.text(0, 0).value_or("");
  return {.version = note.starts_with(kNote) ? number_of(note.substr(kNote.size())) : 0,
          .has_table = rows.text(0, 1) == "t"};
}

struct Step {
  std::string sql;
  std::string_view file;
};

// Those of a schema that others made, or nobody yet.
std::vector<Step> steps(bool is_there, int version) {
  std::vector<Step> out;
  for (const SchemaFile& file : schema_files()) {
    if (file.folder == kOurs ? number_of(file.name) <= version : is_there) continue;
    for (std::string& sql : statements_of(file.text)) out.push_back({std::move(sql), file.name});
  }
  out.push_back({"SET LOCAL ROLE NONE", ""});
  out.push_back({note_of(schema_version()), ""});
  return out;
}

PgError refusal(std::string message) { return {.message = std::move(message)}; }

// 42501: insufficient_privilege.
PgError explained(PgError error, std::string_view file) {
  if (!file.empty()) error.message += " (" + std::string(file) + ")";
  if (error.sqlstate == "42501")
    error.message += ": the login lacks a right; `realtime doctor` tells which, and how to run this with another login";
  return error;
}

Task<Result<std::int64_t>> count_versions_in(Connection& connection, Ends ends) {
  Batch batch{.ends = ends};
  batch.statements = {{.sql = "SELECT count(*) FROM realtime.schema_migrations", .plan = Plan::kOnce}};
  const auto reply = co_await connection.run(std::move(batch));
  if (!reply) co_return tl::make_unexpected(reply.error());
  co_return number_of(reply->back().text(0, 0).value_or("0"));
}

class Migration {
 public:
  explicit Migration(Connection& connection) : connection_(connection) {}

  Task<Result<Migrated>> run() {
    auto state = co_await begin();
    if (!state) co_return tl::make_unexpected(state.error());
    if (state->version >= schema_version()) co_return Migrated::kNothing;  // somebody else did it, just now
    std::int64_t versions = 0;
    if (state->has_table) {
      const auto counted = co_await count_versions_in(connection_, Ends::kOpen);
      if (!counted) co_return tl::make_unexpected(explained(counted.error(), ""));
      versions = *counted;
    }
    if (versions > 0 && versions < kVersionsOfOthers)
      co_return tl::make_unexpected(
          refusal("bring this database to " + std::to_string(kVersionsOfOthers) + " with the previous server first"));
    const bool is_there = versions > 0;
    if (auto done = co_await apply(steps(is_there, state->version)); !done)
      co_return tl::make_unexpected(std::move(done.error()));
    co_return is_there ? Migrated::kBroughtUpToDate : Migrated::kMade;
  }

 private:
  static Statement once(std::string sql) { return {.sql = std::move(sql), .plan = Plan::kOnce}; }

  Task<Result<SchemaState>> begin() {
    Batch batch{.ends = Ends::kOpen, .statement_timeout = kPatience};
    batch.statements = {once("BEGIN"),
                        once(kSafePath),
                        once("SET LOCAL lock_timeout = '60s'"),
                        once(kTakeLock),
                        once("SET LOCAL lock_timeout = '5s'"),
                        once(kReadNote)};
    auto reply = co_await connection_.run(std::move(batch));
    if (!reply) {
      PgError error = std::move(reply.error());
      if (error.statement == 3)
        error.message += ": another server has been bringing this database up to date for a minute";
      co_return tl::make_unexpected(std::move(error));
    }
    co_return state_of(reply->back());
  }

  Task<Result<void>> apply(std::vector<Step> steps) {
    Batch batch{.ends = Ends::kOpen, .statement_timeout = kPatience};
    for (Step& step : steps) batch.statements.push_back(once(std::move(step.sql)));
    batch.statements.push_back(once("COMMIT"));
    auto reply = co_await connection_.run(std::move(batch));
    if (reply) co_return Result<void>{};
    const int at = reply.error().statement;
    const bool is_known = at >= 0 && static_cast<std::size_t>(at) < steps.size();
    co_return tl::make_unexpected(
        explained(std::move(reply.error()), is_known ? steps[static_cast<std::size_t>(at)].file : ""));
  }

  Connection& connection_;
};

std::string as_text(const std::vector<Step>& steps) {
  std::string out = "BEGIN;\n" + std::string(kSafePath) + ";\n";
  for (const Step& step : steps) {
    out += step.sql;
    if (const auto end = out.find_last_not_of("\n "); end != out.npos) out.resize(end + 1);
    if (!out.ends_with(';')) out += ';';
    out += '\n';
  }
  return out + "COMMIT;\n";
}

}  // namespace

int schema_version() {
  int last = 0;
  for (const SchemaFile& file : schema_files()) {
    if (file.folder == kOurs) last = std::max(last, number_of(file.name));
  }
  return last;
}

Task<Result<Migrated>> migrate(Connection& connection) {
  if (connection.server().is_standby)
    co_return tl::make_unexpected(
        refusal("this server is a standby, where nothing can be made: name the primary instead"));
  const auto state = co_await inspect_schema(connection);
  if (!state) co_return tl::make_unexpected(state.error());
  if (state->version >= schema_version()) co_return Migrated::kNothing;

  connection.begin_exclusive_use();
  auto done = co_await Migration(connection).run();
  auto reset = co_await connection.reset();
  if (done && !reset) co_return tl::make_unexpected(std::move(reset.error()));
  co_return done;
}

Task<Result<SchemaState>> inspect_schema(Connection& connection) {
  Batch look{.ends = Ends::kRolledBack};
  look.statements = {{.sql = kSafePath, .plan = Plan::kOnce}, {.sql = kReadNote, .plan = Plan::kOnce}};
  const auto reply = co_await connection.run(std::move(look));
  if (!reply) co_return tl::make_unexpected(reply.error());
  co_return state_of(reply->back());
}

Task<Result<std::int64_t>> count_versions(Connection& connection) {
  co_return co_await count_versions_in(connection, Ends::kRolledBack);
}

std::string schema_as_text() { return as_text(steps(false, 0)); }
std::string upgrade_as_text() { return as_text(steps(true, 0)); }

std::string mend_as_text(std::string_view object, std::string_view file) {
  std::vector<Step> out = {{"SET LOCAL ROLE supabase_realtime_admin", ""}};
  for (Step& step : steps(false, 0)) {
    if (step.file.starts_with(file) && step.sql.find(object) != std::string::npos) out.push_back(std::move(step));
  }
  return as_text(out);
}

}  // namespace rt::postgres
