#include "services/database/opening.h"

#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <cmath>
#include <utility>

#include "io/postgres/schema.h"

namespace rt::database {
namespace {

using postgres::Batch;
using postgres::Ends;
using postgres::PgError;
using postgres::Plan;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kUnable = "UnableToConnectToTenantDatabase";
constexpr std::string_view kLackOfConnections = "DatabaseLackOfConnections";
constexpr std::string_view kAskDoctor = "; `realtime doctor` with the name of the tenant shows what to mend";

constexpr const char* kSafePath = "SET LOCAL search_path TO pg_catalog, pg_temp";
// Background processes belong to no user and take nobody's connection.
constexpr const char* kFree =
    "SELECT current_setting('max_connections')::int - count(*)::int FROM pg_stat_activity "
    "WHERE usesysid IS NOT NULL AND coalesce(application_name, '') NOT IN ('realtime_connect', "
    "'realtime_connect_probe')";
constexpr const char* kLogin =
    "SELECT row_security_active('realtime.messages'), coalesce((SELECT rolname::text FROM pg_roles WHERE rolname = "
    "session_user AND rolsuper), '')";

// The sessions of all that is done for one tenant (tenants.md 9), the pool apart.
constexpr std::size_t kSessionsBesidesPools = 12;

Batch look(const char* sql) {
  Batch batch{.ends = Ends::kRolledBack};
  batch.statements = {{.sql = kSafePath, .plan = Plan::kOnce}, {.sql = sql, .plan = Plan::kOnce}};
  return batch;
}

tl::unexpected<OpeningFault> fail_with(const PgError& error, std::string_view code = kUnable) {
  // too_many_connections
  if (error.sqlstate == "53300") {
    return tl::make_unexpected(
        OpeningFault{RightsFaultKind::kNoSlots, kLackOfConnections, error.message, error.sqlstate});
  }
  const std::string state = error.sqlstate.empty() ? "" : " (" + error.sqlstate + ")";
  return tl::make_unexpected(OpeningFault{RightsFaultKind::kUnavailable, code,
                                          error.message + state + std::string(kAskDoctor), error.sqlstate});
}

tl::unexpected<OpeningFault> refuse(std::string text) { return fail_with({.message = std::move(text)}); }

std::int64_t number(std::string_view digits) {
  std::int64_t out = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return out;
}

struct Schema {
  std::int64_t migrations = 0;
  bool is_up_to_date = false;
};

postgres::Task<postgres::Result<Schema>> look_at_schema(postgres::Connection& connection) {
  const auto state = co_await postgres::inspect_schema(connection);
  if (!state) co_return tl::make_unexpected(state.error());
  Schema out{.is_up_to_date = state->version >= postgres::schema_version()};
  if (!state->has_table) co_return out;
  const auto count = co_await postgres::count_versions(connection);
  // Most logins may not read it. What we brought up to date has them all.
  if (!count && count.error().sqlstate != "42501") co_return tl::make_unexpected(count.error());
  out.migrations = count.value_or(out.is_up_to_date ? postgres::kVersionsOfOthers : 0);
  co_return out;
}

}  // namespace

std::size_t connections_needed(const TenantSettings& settings) {
  const auto all = static_cast<double>(kSessionsBesidesPools + settings.pool_size + settings.subscription_pool_size);
  return static_cast<std::size_t>(std::ceil(0.95 * all));
}

postgres::Task<rt::Result<Opening, OpeningFault>> open_database(postgres::Surroundings surroundings,
                                                                TenantSettings settings, Purpose purpose,
                                                                Slots& migrating,
                                                                std::shared_ptr<postgres::Cancellation> cancellation) {
  settings.connection.application_name =
      purpose == Purpose::kForPool ? "realtime_connect_probe" : "realtime_migrations";
  const auto opened =
      co_await postgres::Connection::open(surroundings, settings.connection, postgres::OnNotice{}, cancellation);
  if (!opened) co_return fail_with(opened.error());
  postgres::Connection& connection = **opened;
  const ClosedByCancellation closed(connection, cancellation);

  if (purpose == Purpose::kForPool) {
    const auto free = co_await connection.run(look(kFree));
    if (!free) co_return fail_with(free.error());
    const std::int64_t available = number(free->back().text(0, 0).value_or("0"));
    if (available <= static_cast<std::int64_t>(connections_needed(settings))) {
      co_return tl::make_unexpected(
          OpeningFault{RightsFaultKind::kNoSlots,
                       kLackOfConnections,
                       "Only " + std::to_string(available) + " available connections. At least " +
                           std::to_string(connections_needed(settings)) + " connections are required.",
                       {}});
    }
  }
  const postgres::ServerInfo server = connection.server();
  if (server.is_standby)
    co_return refuse("this server is a standby, where nothing can be written: name the primary instead");
  if (server.is_read_only)
    co_return refuse("this database is read-only (default_transaction_read_only), and policies are asked by writing");

  Opening out{.is_by_ipv4 = server.is_by_ipv4};
  const auto found = co_await look_at_schema(connection);
  if (!found) co_return fail_with(found.error());
  out.migrations_found = out.migrations = found->migrations;
  if (!found->is_up_to_date) {
    const auto began = Clock::now();
    const Slots::Taken turn = co_await migrating.take();
    const auto migrated = co_await postgres::migrate(connection);
    if (!migrated) {
      auto fault = fail_with(migrated.error(), postgres::kMigrationsFailed);
      fault.value().migrations_found = found->migrations;
      co_return fault;
    }
    out.has_migrated = *migrated != postgres::Migrated::kNothing;
    out.migration_took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
    const auto now = co_await look_at_schema(connection);
    if (!now) co_return fail_with(now.error());
    out.migrations = now->migrations;
  }

  const auto login = co_await connection.run(look(kLogin));
  if (!login) co_return fail_with(login.error());
  if (login->back().text(0, 0) != "f") {
    co_return refuse(
        "the login is held back by the policies of realtime.messages, so nobody could join a private channel: GRANT "
        "supabase_realtime_admin to it");
  }
  out.superuser = login->back().text(0, 1).value_or("");

  auto partitions = co_await postgres::make_partitions(connection);
  if (!partitions) co_return fail_with(partitions.error());
  out.partitions = *std::move(partitions);
  co_return out;
}

}  // namespace rt::database
