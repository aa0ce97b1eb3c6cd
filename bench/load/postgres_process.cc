#include "load/postgres_process.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "load/interrupt.h"

namespace rt::load {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTimeout{120};  // of each step; initdb writes 40 MB
constexpr std::chrono::seconds kStopTimeout{10};
constexpr std::chrono::milliseconds kPollInterval{2};
constexpr std::size_t kLogBytesShown = 2'000;
constexpr int kAttempts = 5;

constexpr std::string_view kBinaries = "/usr/lib/postgresql/15/bin/";
constexpr std::string_view kDatabase = "bench";
constexpr std::string_view kLogin = "realtime_login";
constexpr std::string_view kPassword = "a password of this bench";  // of both

// The roles that tokens name, as platforms have them, and the login.
constexpr std::string_view kRoles = R"(
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE supabase_realtime_admin NOLOGIN NOINHERIT;
CREATE ROLE realtime_login LOGIN REPLICATION;
GRANT anon, authenticated, service_role, supabase_realtime_admin TO realtime_login;
CREATE DATABASE bench;
GRANT CREATE ON DATABASE bench TO realtime_login;
)";

std::string binary(std::string_view name) { return std::string(kBinaries) + std::string(name); }

std::uint16_t free_port() {
  const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return 0;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  const bool is_bound = bind(probe, reinterpret_cast<const sockaddr*>(&address), length) == 0 &&
                        getsockname(probe, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  close(probe);
  return is_bound ? ntohs(address.sin_port) : 0;
}

// Fields 16 and 17 of /proc/PID/stat: user and system time of children that have ended, in ticks.
std::uint64_t ticks_of_ended_children(pid_t pid) {
  std::string line;
  std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), line);
  const std::size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return 0;
  std::istringstream fields(line.substr(end_of_name + 1));
  std::string skipped;
  for (int field = 3; field < 16; ++field) fields >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  fields >> user >> system;
  return user + system;
}

// 0: it has ended.
std::uint64_t cpu_ns_of(pid_t pid) {
  std::uint64_t ns = 0;
  std::ifstream("/proc/" + std::to_string(pid) + "/schedstat") >> ns;
  return ns;
}

}  // namespace

Result<std::unique_ptr<PostgresProcess>> PostgresProcess::start(const std::string& program, const Cores& cores) {
  if (!fs::exists(binary("postgres")))
    return fail("there is no Postgres 15 in " + std::string(kBinaries) +
                ": `./dev bench` installs it, or `apt-get install postgresql-15` does");
  std::string directory = fs::temp_directory_path() / "load_bench_postgres-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr)
    return fail("cannot make a temporary directory: " + std::string(std::strerror(errno)));
  std::unique_ptr<PostgresProcess> postgres(new PostgresProcess(cores, directory));
  if (const auto made = postgres->create(); !made) return tl::make_unexpected(made.error());
  if (const auto up = postgres->start_on_free_port(); !up) return tl::make_unexpected(up.error());
  if (const auto made = postgres->make_database(program); !made) return tl::make_unexpected(made.error());
  return postgres;
}

PostgresProcess::PostgresProcess(Cores cores, fs::path directory)
    : cores_(std::move(cores)), directory_(std::move(directory)) {}

// At once and without a checkpoint, but by its own hand: killed, it would leave a segment of shared memory behind.
PostgresProcess::~PostgresProcess() {
  if (child_ && !child_->has_ended()) {
    kill(child_->pid(), SIGQUIT);
    for (const auto since = Clock::now(); !child_->has_ended() && Clock::now() - since < kStopTimeout;)
      std::this_thread::sleep_for(kPollInterval);
  }
  child_.reset();
  // Children of what was killed may be writing into it for a moment.
  std::error_code left;
  for (const auto since = Clock::now(); fs::remove_all(directory_, left), left && Clock::now() - since < kStopTimeout;)
    std::this_thread::sleep_for(kPollInterval);
}

Result<void> PostgresProcess::create() {
  if (geteuid() == 0) {
    const passwd* const entry = getpwnam("postgres");
    if (entry == nullptr) return fail("there is no user postgres, as whom Postgres has to run: its package makes it");
    user_ = entry->pw_uid;
    group_ = entry->pw_gid;
  }
  write("password", kPassword);
  write("log", "");
  for (const fs::path& path : {directory_, directory_ / "password", directory_ / "log"}) {
    if (user_ != 0 && chown(path.c_str(), user_, group_) != 0) return failed("chown " + path.string());
  }
  return run(
      as_postgres({binary("initdb"), "-D", directory_ / "data", "-U", "postgres", "--auth=scram-sha-256",
                   "--pwfile=" + (directory_ / "password").string(), "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"}));
}

// Another program may take a free port before Postgres does.
Result<void> PostgresProcess::start_on_free_port() {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    port_ = free_port();
    write("log", "");
    auto child =
        spawn(as_postgres({binary("postgres"), "-D", directory_ / "data", "-c", "port=" + std::to_string(port_), "-c",
                           "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "wal_level=logical"}));
    if (!child) return tl::make_unexpected(child.error());
    child_ = std::move(*child);
    const auto up = serves();
    if (!up) return tl::make_unexpected(up.error());
    if (*up) return {};
  }
  return failed("found no free port for Postgres");
}

Result<bool> PostgresProcess::serves() {
  for (const auto since = Clock::now();; std::this_thread::sleep_for(kPollInterval)) {
    const std::string log = read("log");
    if (log.find("ready to accept connections") != std::string::npos) return true;
    if (child_->has_ended()) {
      if (log.find("in use") != std::string::npos) return false;
      return failed("Postgres ended before it was ready");
    }
    if (const auto go_on = not_interrupted(); !go_on) return tl::make_unexpected(go_on.error());
    if (Clock::now() - since > kTimeout) return failed("Postgres was not ready in time");
  }
}

Result<void> PostgresProcess::make_database(const std::string& program) {
  write("roles.sql", std::string(kRoles) + "ALTER ROLE realtime_login PASSWORD '" + std::string(kPassword) + "';");
  if (const auto made = run_file("postgres", "roles.sql"); !made) return made;
  if (const auto printed = run({.words = {program, "doctor", "--print-schema"}, .output = "schema.sql"}); !printed)
    return printed;
  return run_file(std::string(kDatabase), "schema.sql");
}

Result<void> PostgresProcess::sql(std::string_view text) {
  write("statement.sql", text);
  return run_file(std::string(kDatabase), "statement.sql");
}

Result<std::unique_ptr<Child>> PostgresProcess::begin_sql(std::string_view text) {
  write("statement.sql", text);
  return spawn(file_command(std::string(kDatabase), "statement.sql"));
}

PostgresProcess::Command PostgresProcess::file_command(const std::string& database, const std::string& name) const {
  return {.words = {binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", std::to_string(port_),
                    "-U", "postgres", "-f", directory_ / name, database}};
}

Result<void> PostgresProcess::run_file(const std::string& database, const std::string& name) {
  return run(file_command(database, name));
}

std::vector<std::string> PostgresProcess::seed_env() const {
  return {"DB_HOST=127.0.0.1", "DB_PORT=" + std::to_string(port_), "DB_NAME=" + std::string(kDatabase),
          "DB_USER=" + std::string(kLogin), "DB_PASSWORD=" + std::string(kPassword)};
}

std::string PostgresProcess::connection_string() const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " user=postgres password='" + std::string(kPassword) +
         "' dbname=" + std::string(kDatabase);
}

std::string PostgresProcess::extension(int pool, std::string_view policy_checks) const {
  return R"({"type":"postgres_cdc_rls","settings":{"region":"us-east-1","ssl_enforced":false,"db_host":"127.0.0.1",)"
         R"("db_port":")" +
         std::to_string(port_) + R"(","db_name":")" + std::string(kDatabase) + R"(","db_user":")" +
         std::string(kLogin) + R"(","db_password":")" + std::string(kPassword) + R"(","db_pool":)" +
         std::to_string(pool) + R"(,"policy_checks":")" + std::string(policy_checks) + "\"}}";
}

Result<std::uint64_t> PostgresProcess::cpu_ns() const {
  const pid_t postmaster = child_->pid();
  const std::string pid = std::to_string(postmaster);
  std::uint64_t ns = cpu_ns_of(postmaster);
  if (ns == 0) return fail("cannot read the CPU time of Postgres");
  std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child = 0; children >> child;) ns += cpu_ns_of(child);
  const auto ticks_per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  return ns + ticks_of_ended_children(postmaster) * (1'000'000'000 / ticks_per_second);
}

PostgresProcess::Command PostgresProcess::as_postgres(std::vector<std::string> words) const {
  return {.words = std::move(words), .user = user_, .group = group_};
}

Result<std::unique_ptr<Child>> PostgresProcess::spawn(Command command) const {
  return Child::fork(cores_, [&] {
    const std::string password = "PGPASSWORD=" + std::string(kPassword);
    std::vector<std::string> env = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", password};
    const auto pointers = [](std::vector<std::string>& texts) {
      std::vector<char*> out;
      for (std::string& text : texts) out.push_back(text.data());
      out.push_back(nullptr);
      return out;
    };
    const int log = open((directory_ / "log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    const int output = open((directory_ / command.output).c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || output < 0) return;
    dup2(output, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    setpgid(0, 0);  // Ctrl-C is for us, who end it in order
    if (command.user != 0) {
      if (initgroups("postgres", command.group) != 0 || setgid(command.group) != 0 || setuid(command.user) != 0) return;
      // Forgotten with the change of the user. Postgres ends its own children on this one.
      prctl(PR_SET_PDEATHSIG, SIGQUIT);
      if (chdir(directory_.c_str()) != 0) return;  // ours may be closed to it
    }
    execve(command.words.front().c_str(), pointers(command.words).data(), pointers(env).data());
    std::fprintf(stderr, "cannot run %s: %s\n", command.words.front().c_str(), std::strerror(errno));
  });
}

// A program that ends by itself. What it has to say when it fails is in the log.
Result<void> PostgresProcess::run(Command command) {
  const std::string name = fs::path(command.words.front()).filename();
  const auto child = spawn(std::move(command));
  if (!child) return tl::make_unexpected(child.error());
  for (const auto since = Clock::now(); !(*child)->has_ended(); std::this_thread::sleep_for(kPollInterval)) {
    const auto go_on = not_interrupted();
    if (go_on && Clock::now() - since < kTimeout) continue;
    kill(-(*child)->pid(), SIGKILL);  // initdb has children of its own
    return go_on ? failed(name + " did not end in time") : go_on;
  }
  if (!(*child)->has_succeeded()) return failed(name + " failed");
  return {};
}

tl::unexpected<Error> PostgresProcess::failed(const std::string& what) const {
  const std::string log = read("log");
  return fail(what + "\n" + log.substr(log.size() - std::min(log.size(), kLogBytesShown)));
}

void PostgresProcess::write(const std::string& name, std::string_view text) const {
  std::ofstream(directory_ / name) << text;
}

std::string PostgresProcess::read(const std::string& name) const {
  std::ostringstream text;
  text << std::ifstream(directory_ / name).rdbuf();
  return text.str();
}

}  // namespace rt::load
