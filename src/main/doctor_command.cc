#include "main/doctor_command.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <ostream>

#include "base/utf8.h"
#include "io/postgres/canceller.h"
#include "io/postgres/resolver.h"
#include "io/postgres/schema.h"
#include "main/command_line.h"
#include "main/control_store.h"
#include "main/doctor.h"
#include "main/doctor_report.h"
#include "main/secrets.h"
#include "services/database/opening.h"
#include "services/database/tenant_settings.h"

namespace rt::app {
namespace {

constexpr std::string_view kHelp =
    "Usage: realtime doctor TENANT [flags]\n"
    "       realtime doctor --host HOST --user LOGIN [flags]\n\n"
    "Looks at the database of a tenant and prints what is missing there, with the SQL that mends it. Changes nothing.\n"
    "The tenant is looked for in the server's control store, which the settings and the environment of the server "
    "name;\n"
    "the second form looks at any database. Exit code 1: something keeps the database from serving.\n\n"
    "  --host HOST           of the database, a name, an address or the directory of a Unix socket\n"
    "  --port PORT           [5432]\n"
    "  --database NAME       [postgres]\n"
    "  --user LOGIN          env PGPASSWORD has its password\n"
    "  --tls on|off          [on]\n"
    "  --json                print everything as JSON\n"
    "  --sql                 print the SQL only, for psql; without that of notes, which may be meant as it is\n"
    "  --print-schema        print the SQL that makes the schema `realtime`; needs no database\n"
    "  --data-dir DIRECTORY  data directory of the server, env DATA_DIR  [.datafuse]\n"
    "  -h, --help            print this text\n";

constexpr int kBroken = 1;
constexpr int kFailed = 2;

// One that asks about rows that have changed, and a short one.
constexpr std::size_t kConnectionsBesidesPool = 2;

struct Request {
  std::optional<std::string> tenant;
  std::optional<std::string> host;
  std::string port = "5432";
  std::string database = "postgres";
  std::string user;
  std::string tls = "on";
  std::optional<std::string> data_dir;
  bool json = false;
  bool sql = false;
  bool schema = false;
  bool help = false;
};

Result<Request> parse_arguments(const std::vector<std::string>& arguments) {
  Request request;
  CLI::App app;
  app.set_help_flag();
  app.add_flag("-h,--help", request.help);
  app.add_flag("--json", request.json);
  app.add_flag("--sql", request.sql);
  app.add_flag("--print-schema", request.schema);
  app.add_option_function<std::string>("--host", [&](const std::string& host) { request.host = host; });
  app.add_option("--port", request.port);
  app.add_option("--database", request.database);
  app.add_option("--user", request.user);
  app.add_option("--tls", request.tls)->check(CLI::IsMember({"on", "off"}));
  app.add_option_function<std::string>("--data-dir", [&](const std::string& path) { request.data_dir = path; });
  app.add_option_function<std::string>("tenant", [&](const std::string& name) { request.tenant = name; });
  if (const auto parsed = parse_command_line(app, "doctor", arguments); !parsed)
    return tl::make_unexpected(parsed.error());
  if (request.help || request.schema) return request;
  if (request.tenant.has_value() == request.host.has_value())
    return fail("expected either the name of a tenant or --host (`realtime doctor --help`)");
  if (request.host && request.user.empty()) return fail("expected --user, the login for the database");
  return request;
}

struct Target {
  postgres::ConnectionSettings settings;
  DatabaseNeeds needs;
};

DatabaseNeeds needs_of(const database::TenantSettings& settings, database::SlotMode otherwise) {
  return {.publication = settings.publication,
          .connections = settings.pool_size + kConnectionsBesidesPool,
          .free_connections = database::connections_needed(settings) + 1,
          .slots_stay = settings.slot_mode.value_or(otherwise) == database::SlotMode::kDurable};
}

Target given_target(const Request& request, const Environment& environment) {
  Target out;
  out.settings.host = *request.host;
  out.settings.port = request.port;
  out.settings.database = request.database;
  out.settings.user = request.user;
  out.settings.password = environment("PGPASSWORD").value_or("");
  out.settings.tls = request.tls == "on" ? postgres::TlsMode::kUnverified : postgres::TlsMode::kOff;
  out.needs = needs_of({}, database::SlotMode::kAuto);
  return out;
}

// The configuration of the server with that data directory, without making anything there.
Result<Config> server_config(const Request& request, const Environment& environment) {
  std::vector<std::string> flags;
  if (request.data_dir) flags = {"--data-dir", *request.data_dir};
  auto parsed = parse_config(flags, environment);
  if (!parsed) return tl::make_unexpected(parsed.error());
  Config config = std::move(parsed->config);
  if (!config.db_enc_key) {
    const auto kept = read_secret(config.data_dir, kDbEncKey);
    if (!kept) return tl::make_unexpected(kept.error());
    config.db_enc_key = *kept;
  }
  if (!config.db_enc_key)
    return fail("there is no server in " + config.data_dir +
                " yet: name its directory with --data-dir, or set DB_ENC_KEY");
  if (struct stat file{};
      store_kind(config) == StoreKind::kSqlite && stat((config.data_dir + "/control.sqlite").c_str(), &file) != 0)
    return fail("there is no control store in " + config.data_dir + ": name the server's directory with --data-dir");
  return config;
}

Result<Target> stored_target(const Request& request, const Environment& environment) {
  const auto config = server_config(request, environment);
  if (!config) return tl::make_unexpected(config.error());
  const auto log = Log::open({.level = LogLevel::kCritical});  // stdout is ours
  if (!log) return tl::make_unexpected(log.error());
  const auto store = control_store(*config, **log);
  if (!store) return tl::make_unexpected(store.error());
  const auto tenant = (*store)->find_tenant(*request.tenant);
  if (!tenant) return tl::make_unexpected(tenant.error());
  if (!*tenant) return fail("there is no tenant " + *request.tenant + " in the control store");
  auto settings = database::settings_of(**tenant, encryption(*config));
  if (!settings) return tl::make_unexpected(settings.error());
  if (!*settings) return fail("the tenant " + *request.tenant + " has no database");
  return Target{.settings = (*settings)->connection, .needs = needs_of(**settings, config->slot_mode)};
}

Diagnosis examine(const Target& target) {
  boost::asio::io_context io;
  const auto resolver = postgres::make_resolver(io);
  postgres::Canceller canceller;
  Diagnosis out;
  const auto keep = [&]() -> postgres::Task<void> {
    out = co_await diagnose({.io = io, .resolver = *resolver, .canceller = canceller}, target.settings, target.needs);
  };
  bool has_ended = false;
  boost::asio::co_spawn(io, keep(), [&](const std::exception_ptr&) { has_ended = true; });
  while (!has_ended && io.run_one() > 0) {
  }
  return out;
}

}  // namespace

int run_doctor_command(const std::vector<std::string>& arguments, const Environment& environment, std::ostream& out,
                       std::ostream& err) {
  const auto failed = [&](const std::string& why) {
    err << "realtime doctor: " << why << '\n';
    return kFailed;
  };
  if (!std::ranges::all_of(arguments, is_valid_utf8)) return failed("an argument is not valid UTF-8");
  const auto request = parse_arguments(arguments);
  if (!request) return failed(request.error().message);
  if (request->help || request->schema) {
    out << (request->help ? std::string(kHelp) : postgres::schema_as_text());
    return 0;
  }
  const auto target =
      request->host ? Result<Target>(given_target(*request, environment)) : stored_target(*request, environment);
  if (!target) return failed(target.error().message);
  const Diagnosis diagnosis = examine(*target);
  if (request->json) {
    print_json(diagnosis, target->settings, out);
  } else if (request->sql) {
    print_sql(diagnosis, out);
  } else {
    print_text(diagnosis, target->settings, out);
  }
  return keeps_from_serving(diagnosis) ? kBroken : 0;
}

}  // namespace rt::app
