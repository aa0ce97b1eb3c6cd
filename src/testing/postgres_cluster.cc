#include "testing/postgres_cluster.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace rt::testing {
namespace {

namespace fs = std::filesystem;

std::string binaries() {
  std::string best;
  int version_of_best = 0;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql")) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version > version_of_best && fs::exists(entry.path() / "bin/postgres")) {
      version_of_best = version;
      best = entry.path() / "bin";
    }
  }
  REQUIRE_MESSAGE(!best.empty(), "Postgres is not installed: ./dev test does it");
  return best;
}

std::string free_port() {
  const int probe = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  socklen_t length = sizeof(address);
  getsockname(probe, reinterpret_cast<sockaddr*>(&address), &length);
  close(probe);
  return std::to_string(ntohs(address.sin_port));
}

struct Identity {
  uid_t user = 0;
  gid_t group = 0;
};

Identity postgres_user() {
  if (geteuid() != 0) return {};
  const passwd* const entry = getpwnam("postgres");
  REQUIRE_MESSAGE(entry != nullptr, "there is no user postgres: its package is not installed");
  return {entry->pw_uid, entry->pw_gid};
}

template <class Condition>
void wait_until(const char* what, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "not in time: " << what);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

PostgresCluster& PostgresCluster::shared() {
  static PostgresCluster cluster;
  return cluster;
}

PostgresCluster::PostgresCluster() {
  std::string name = (fs::temp_directory_path() / "rt_postgres_XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  directory_ = name;
  if (const Identity who = postgres_user(); who.user != 0) REQUIRE(chown(directory_.c_str(), who.user, who.group) == 0);
  create();
  // Another program may take a free port before Postgres does.
  for (int attempt = 0; server_ < 0; ++attempt) {
    REQUIRE(attempt < 5);
    port_ = free_port();
    start();
  }
}

PostgresCluster::~PostgresCluster() {
  stop();
  fs::remove_all(directory_);
}

void PostgresCluster::create() const {
  std::ofstream(directory_ + "/password") << kPassword;
  as_postgres({binaries() + "/initdb", "-D", directory_ + "/data", "-U", "postgres",
               "--pwfile=" + directory_ + "/password", "--auth=scram-sha-256", "--no-sync", "-E", "UTF8",
               "--locale=C"});
  for (const std::string which : {"server", "other"}) {
    const std::string key = directory_ + "/" + which + ".key";
    as_postgres({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", directory_ + "/" + which + ".pem"});
  }
}

void PostgresCluster::start() {
  const int output = open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::vector<std::string> command = {binaries() + "/postgres", "-D", directory_ + "/data"};
  for (const std::string& setting :
       {"port=" + port_, std::string("listen_addresses=127.0.0.1,::1"), "unix_socket_directories=" + directory_,
        std::string("fsync=off"), std::string("max_connections=60"), std::string("wal_level=logical"),
        "ssl_cert_file=" + directory_ + "/server.pem", "ssl_key_file=" + directory_ + "/server.key"}) {
    command.insert(command.end(), {"-c", setting});
  }
  server_ = spawn_as_postgres(std::move(command), output);
  close(output);
  wait_until("Postgres to start", [&] { return is_ready() || waitpid(server_, nullptr, WNOHANG) != 0; });
  if (is_ready()) return set("ssl", "on");  // not on the command line, which would win over what a test sets
  REQUIRE_MESSAGE(log().find("in use") != std::string::npos, log());
  server_ = -1;
}

void PostgresCluster::stop() {
  if (server_ < 0) return;
  kill(server_, SIGQUIT);
  waitpid(server_, nullptr, 0);
  server_ = -1;
}

void PostgresCluster::restart() {
  stop();
  start();
  REQUIRE(server_ > 0);
}

std::string PostgresCluster::log() const {
  std::ostringstream out;
  out << std::ifstream(directory_ + "/log").rdbuf();
  return out.str();
}

bool PostgresCluster::is_ready() const { return log().find("ready to accept connections") != std::string::npos; }

std::string PostgresCluster::sql(const std::string& text) const {
  std::string out;
  as_postgres({binaries() + "/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port_, "-U", "postgres",
               "-c", text, "postgres"},
              &out);
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

void PostgresCluster::set(const std::string& name, const std::string& value) const {
  sql("ALTER SYSTEM SET " + name + " = '" + value + "'");
  sql("SELECT pg_reload_conf()");
  wait_until("a setting to be taken", [&] { return sql("SHOW " + name) == value; });
}

PostgresCluster::Setting::Setting(const PostgresCluster& cluster, std::string name, const std::string& value)
    : cluster_(cluster), name_(std::move(name)), before_(cluster.sql("SHOW " + name_)) {
  cluster_.set(name_, value);
}

PostgresCluster::Setting::~Setting() { cluster_.set(name_, before_); }

void PostgresCluster::as_postgres(std::vector<std::string> command, std::string* output) const {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const std::string shown = command.front() + " … " + command.back();
  const pid_t child = spawn_as_postgres(std::move(command), ends[1]);
  close(ends[1]);
  std::string printed;
  std::array<char, 4096> piece;
  for (ssize_t got = 0; (got = read(ends[0], piece.data(), piece.size())) > 0;)
    printed.append(piece.data(), static_cast<std::size_t>(got));
  close(ends[0]);
  int status = -1;
  waitpid(child, &status, 0);
  REQUIRE_MESSAGE(status == 0, shown << ": " << printed);
  if (output != nullptr) *output = printed;
}

pid_t PostgresCluster::spawn_as_postgres(std::vector<std::string> command, int output) const {
  const Identity who = postgres_user();
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin", "LC_ALL=C", "PGPASSWORD=" + std::string(kPassword)};
  std::vector<char*> arguments;
  std::vector<char*> variables;
  for (std::string& word : command) arguments.push_back(word.data());
  for (std::string& word : environment) variables.push_back(word.data());
  arguments.push_back(nullptr);
  variables.push_back(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child > 0) return child;
  // Nothing is allocated from here on: other threads may have held the allocator's lock.
  if (who.user != 0 && (setgroups(0, nullptr) != 0 || setgid(who.group) != 0 || setuid(who.user) != 0)) _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);  // also where the test program crashes
  if (chdir(directory_.c_str()) != 0) _exit(126);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execvpe(arguments[0], arguments.data(), variables.data());
  _exit(127);
}

}  // namespace rt::testing
