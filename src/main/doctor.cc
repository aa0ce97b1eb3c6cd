#include "main/doctor.h"

#include <boost/asio/awaitable.hpp>
#include <string_view>

#include "io/postgres/partitions.h"
#include "io/postgres/schema.h"
#include "main/doctor_checks.h"

namespace rt::app {
namespace {

using postgres::ErrorClass;
using postgres::PgError;
using postgres::Task;

std::string identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Finding of_refusal(const PgError& error, const postgres::ConnectionSettings& settings) {
  const std::string login = identifier(settings.user);
  const std::string database = identifier(settings.database);
  if (error.sqlstate == "3D000")
    return {.id = "database_missing",
            .problem = "There is no database " + database + " on this server.",
            .remedy = "Make it, or correct db_name. The SQL has to be run in another database of the server.",
            .sql = "CREATE DATABASE " + database + ";"};
  if (error.sqlstate == "42501")
    return {.id = "login_may_not_connect",
            .problem = "The login " + login + " has no CONNECT right on " + database + ".",
            .remedy = "Grant it.",
            .sql = "GRANT CONNECT ON DATABASE " + database + " TO " + login + ";"};
  if (error.sqlstate == "53300" && has(error.message, "for role"))
    return {.id = "login_connection_limit",
            .problem = "The login " + login + " has all the connections that its CONNECTION LIMIT allows.",
            .remedy = "Raise or remove the limit.",
            .sql = "ALTER ROLE " + login + " CONNECTION LIMIT -1;"};
  if (error.sqlstate == "53300" && has(error.message, "for database"))
    return {.id = "database_connection_limit",
            .problem = "The database " + database + " has all the connections that its CONNECTION LIMIT allows.",
            .remedy = "Raise or remove the limit.",
            .sql = "ALTER DATABASE " + database + " CONNECTION LIMIT -1;"};
  if (error.sqlstate == "53300")
    return {.id = "connections_exhausted",
            .problem = "The server has no connection left: " + error.message + ".",
            .remedy = "Close connections that nobody needs, or raise max_connections and restart the database server."};
  return {.id = "refused",
          .problem = "The server refuses connections: " + error.message + ".",
          .remedy = "Where it is starting or stopping, wait. Else its log has more."};
}

Finding of_authentication(const PgError& error, const postgres::ConnectionSettings& settings) {
  const std::string login = identifier(settings.user);
  if (has(error.message, "not permitted to log in"))
    return {.id = "login_not_permitted",
            .problem = "The role " + login + " may not log in.",
            .remedy = "Permit it, or name another role as db_user.",
            .sql = "ALTER ROLE " + login + " LOGIN;"};
  if (has(error.message, "pg_hba.conf"))
    return {
        .id = "no_hba_entry",
        .problem = "The server does not let us in from here: " + error.message + ".",
        .remedy =
            "Add a line for this login, database and address to pg_hba.conf and reload it. Where the words end in \"no "
            "encryption\", the server wants TLS: set ssl_enforced to true."};
  return {.id = "wrong_password",
          .problem = "The login " + login + " or its password is wrong: " + error.message + ".",
          .remedy = "Correct db_user and db_password, or set the role's password with ALTER ROLE."};
}

Finding of_tls(const PgError& error, const postgres::ConnectionSettings& settings) {
  const bool wanted = settings.tls != postgres::TlsMode::kOff;
  return {
      .id = "tls_mismatch",
      .problem = std::string(wanted ? "We want TLS, and it fails: " : "The server wants TLS: ") + error.message + ".",
      .remedy = wanted
                    ? "Switch TLS on at the server (ssl, with a certificate), or set ssl_enforced to false where the "
                      "network is trusted."
                    : "Set ssl_enforced to true."};
}

// Why there is no connection.
Finding of_connecting(const PgError& error, const postgres::ConnectionSettings& settings) {
  const std::string where = settings.host + ":" + settings.port;
  switch (error.kind) {
    case ErrorClass::kAuthentication:
      return of_authentication(error, settings);
    case ErrorClass::kTls:
      return of_tls(error, settings);
    case ErrorClass::kRefused:
      return of_refusal(error, settings);
    case ErrorClass::kUnsupported:
      return {.id = "server_version",
              .problem = "The server is none that we know: " + error.message + ".",
              .remedy = "Bring it to PostgreSQL 14 or later; 15 is what we test with."};
    case ErrorClass::kTimeOut:
      return {.id = "host_silent",
              .problem = "Nothing answers at " + where + " in time: " + error.message + ".",
              .remedy = "See whether a firewall drops what we send, and whether the server is overloaded."};
    default:
      return {.id = "host_unreachable",
              .problem = "Nobody can be reached at " + where + ": " + error.message + ".",
              .remedy =
                  "Correct db_host and db_port, and see whether the server runs and listens there (listen_addresses)."};
  }
}

class Examination {
 public:
  Examination(postgres::Connection& connection, const DatabaseNeeds& needs, Diagnosis& diagnosis)
      : connection_(connection), needs_(needs), out_(diagnosis) {}

  Task<void> run() {
    const postgres::ServerInfo server = connection_.server();
    out_.server =
        "PostgreSQL " + std::to_string(server.version / 10'000) + "." + std::to_string(server.version % 10'000);
    out_.checked += 2;
    if (server.version >= 190'000)
      add({.id = "server_version",
           .severity = Severity::kWarning,
           .problem = out_.server + " is later than what we know (14 to 18).",
           .remedy = "Ask for a newer version of this server."});
    if (server.is_standby) {
      add({.id = "standby",
           .problem = "The server is a standby, which is read-only.",
           .remedy = "Name the primary as db_host: private channels and the messages of this database need to write."});
      co_return;
    }
    co_await ask(server_checks());
    for (const Check& check : publication_checks()) co_await ask(check, of_published_tables(check.sql));
    if (co_await schema()) {
      co_await functions();
      co_await ask(schema_checks());
    }
  }

 private:
  void add(Finding finding) { out_.findings.push_back(std::move(finding)); }

  void could_not(std::string_view id, const PgError& error) {
    add({.id = "check_failed",
         .problem = "Looking at " + std::string(id) + " failed: " + error.message + ".",
         .remedy = "Mend what else is found and look again."});
  }

  std::vector<std::optional<std::string>> parameters(Parameter parameter) const {
    switch (parameter) {
      case Parameter::kNone:
        return {};
      case Parameter::kPublication:
        return {needs_.publication};
      case Parameter::kConnections:
        return {std::to_string(needs_.connections)};
      case Parameter::kFreeConnections:
        return {std::to_string(needs_.free_connections)};
      case Parameter::kSlotsStay:
        return {needs_.slots_stay ? "t" : "f"};
    }
    return {};
  }

  Task<std::optional<postgres::Rows>> rows(std::string_view id, std::string sql,
                                           Parameter parameter = Parameter::kNone) {
    postgres::Batch batch{.ends = postgres::Ends::kRolledBack};
    // An operator or function of a user must not be taken for a built-in one: it would run with our rights.
    batch.statements = {{.sql = "SET LOCAL search_path TO pg_catalog, pg_temp", .plan = postgres::Plan::kOnce},
                        {.sql = std::move(sql), .parameters = parameters(parameter), .plan = postgres::Plan::kOnce}};
    auto reply = co_await connection_.run(std::move(batch));
    if (!reply) {
      could_not(id, reply.error());
      co_return std::nullopt;
    }
    co_return std::move(reply->back());
  }

  Task<void> ask(std::span<const Check> checks) {
    for (const Check& check : checks) co_await ask(check, check.sql);
  }

  Task<void> ask(const Check& check, std::string sql) {
    ++out_.checked;
    const auto found = co_await rows(check.id, std::move(sql), check.parameter);
    for (std::size_t row = 0; found && row < found->size(); ++row) {
      const auto text = [&](std::size_t column) { return std::string(found->text(row, column).value_or("")); };
      add({.id = check.id,
           .severity = check.severity,
           .problem = text(0),
           .remedy = text(1),
           .sql = text(2),
           .needs_restart = check.needs_restart});
    }
  }

  // Whether there is one whose objects can be looked at.
  Task<bool> schema() {
    ++out_.checked;
    const auto state = co_await postgres::inspect_schema(connection_);
    if (!state) {
      could_not("schema", state.error());
      co_return false;
    }
    if (state->version >= postgres::schema_version()) co_return true;
    std::int64_t versions = 0;
    if (state->has_table) {
      const auto counted = co_await postgres::count_versions(connection_);
      if (!counted) {
        co_await ask(unreadable_versions_checks());
        co_return false;
      }
      versions = *counted;
    }
    if (versions == 0) {
      co_await missing_schema();
      co_return false;
    }
    if (versions < postgres::kVersionsOfOthers) {
      add({.id = "schema_half_migrated",
           .problem = "Another server has made a part of the schema: " + std::to_string(versions) + " of " +
                      std::to_string(postgres::kVersionsOfOthers) + " steps.",
           .remedy = "Start that server once more, until it has done them all. This one does nothing before."});
      co_return false;
    }
    add({.id = "schema_outdated",
         .severity = Severity::kWarning,
         .problem = "The schema has step " + std::to_string(state->version) + " of ours; the last one is " +
                    std::to_string(postgres::schema_version()) + ".",
         .remedy = "The server does it when it connects next, if its login is a member of supabase_realtime_admin.",
         .sql = postgres::upgrade_as_text()});
    co_return true;
  }

  Task<void> missing_schema() {
    const auto able = co_await rows("schema", login_can_make_schema());
    const bool by_itself = able && !able->empty() && able->text(0, 0) == "t";
    add({.id = "schema_missing",
         .severity = by_itself ? Severity::kWarning : Severity::kError,
         .problem = "There is no schema `realtime` of a Realtime server here yet.",
         .remedy =
             by_itself
                 ? "The server makes it when it first connects."
                 : "The login lacks the rights to make it. Run the SQL as a superuser, or give the login CREATE on the "
                   "database and membership in supabase_realtime_admin.",
         .sql = postgres::schema_as_text()});
  }

  Task<void> functions() {
    ++out_.checked;
    const auto missing = co_await rows("functions", missing_functions());
    for (std::size_t row = 0; missing && row < missing->size(); ++row) {
      const std::string name(missing->text(row, 0).value_or(""));
      add({.id = "function_missing",
           .problem = "The function realtime." + name + " is not there.",
           .remedy = "Make it again.",
           .sql = postgres::mend_as_text("function realtime." + name + "(")});
    }
    const auto table = co_await rows("table", "SELECT to_regclass('realtime.messages') IS NULL");
    if (table && !table->empty() && table->text(0, 0) == "t")
      add({.id = "table_missing",
           .problem = "The table realtime.messages is not there.",
           .remedy = "Make it again; the policies on it were dropped with it, too.",
           .sql = postgres::mend_as_text("realtime.messages", "02_")});
  }

  postgres::Connection& connection_;
  const DatabaseNeeds& needs_;
  Diagnosis& out_;
};

}  // namespace

Task<Diagnosis> diagnose(postgres::Surroundings surroundings, postgres::ConnectionSettings settings,
                         DatabaseNeeds needs) {
  Diagnosis out{.checked = 1};
  const auto connection = co_await postgres::Connection::open(surroundings, settings);
  if (!connection) {
    out.findings.push_back(of_connecting(connection.error(), settings));
    co_return out;
  }
  co_await Examination(**connection, needs, out).run();
  co_return out;
}

}  // namespace rt::app
