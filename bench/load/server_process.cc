#include "load/server_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>
#include <thread>

#include "domain/auth/jwt.h"
#include "load/interrupt.h"

namespace rt::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kStartTimeout{30};
constexpr std::chrono::microseconds kPollInterval{200};
constexpr std::size_t kLogBytesShown = 2'000;

constexpr std::string_view kSecret = "load bench tenant secret, long enough for HMAC";

std::vector<std::string> environment(const ServerConfig& config) {
  std::vector<std::string> env = {
      "SEED_SELF_HOST=true",
      "SELF_HOST_TENANT_NAME=dev",
      "API_JWT_SECRET=" + std::string(kSecret),
      "TENANT_MAX_CONCURRENT_USERS=1000000",
      "TENANT_MAX_EVENTS_PER_SECOND=1000000000",
      "TENANT_MAX_JOINS_PER_SECOND=1000000",
      "TENANT_MAX_CHANNELS_PER_CLIENT=10000",
      "MAX_CONNECTIONS=30000",
      "SOCKET_IDLE_TIMEOUT_MS=3600000",
  };
  env.insert(env.end(), config.env.begin(), config.env.end());
  return env;
}

std::vector<std::string> arguments(const ServerConfig& config, const std::filesystem::path& directory) {
  std::vector<std::string> args = {
      config.program,     "serve",
      "--listen",         "127.0.0.1",
      "--port",           "0",
      "--ready-file",     directory / "ready",
      "--workers",        std::to_string(config.workers),
      "--data-dir",       directory,
      "--default-tenant", "dev",
  };
  args.insert(args.end(), config.args.begin(), config.args.end());
  return args;
}

// In seconds since 1970.
std::string tomorrow() {
  constexpr std::time_t kDay = 24 * 60 * 60;
  return std::to_string(std::time(nullptr) + kDay);
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(const ServerConfig& config) {
  std::unique_ptr<ServerProcess> server(new ServerProcess());
  std::string directory = std::filesystem::temp_directory_path() / "load_bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr)
    return fail("cannot make a temporary directory: " + std::string(std::strerror(errno)));
  server->directory_ = directory;

  if (const auto spawned = server->spawn(config); !spawned) return tl::make_unexpected(spawned.error());
  if (const auto ready = server->wait_until_ready(); !ready) {
    const std::string log = server->log();
    return fail(ready.error().message + "\n" + log.substr(log.size() - std::min(log.size(), kLogBytesShown)));
  }
  return server;
}

ServerProcess::ServerProcess() = default;

ServerProcess::~ServerProcess() {
  child_.reset();  // it writes into the directory
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

Result<void> ServerProcess::spawn(const ServerConfig& config) {
  std::vector<std::string> args = arguments(config, directory_);
  std::vector<std::string> env = environment(config);
  auto child = Child::fork(config.cores, [&] {
    const int log = open((directory_ / "log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    if (log < 0) return;
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execve(config.program.c_str(), pointers_to(args).data(), pointers_to(env).data());
    std::fprintf(stderr, "cannot run %s: %s\n", config.program.c_str(), std::strerror(errno));
  });
  if (!child) return tl::make_unexpected(child.error());
  child_ = std::move(*child);
  return {};
}

Result<void> ServerProcess::wait_until_ready() {
  for (const auto start = Clock::now();; std::this_thread::sleep_for(kPollInterval)) {
    std::ifstream ready(directory_ / "ready");
    if (ready >> port_) {
      ready >> tls_port_;
      time_to_ready_ = Clock::now() - start;
      return {};
    }
    if (child_->has_ended()) return fail("the server ended before it was ready");
    if (const auto go_on = not_interrupted(); !go_on) return go_on;
    if (Clock::now() - start > kStartTimeout) return fail("the server was not ready in 30 s");
  }
}

std::string ServerProcess::log() const {
  std::ostringstream text;
  text << std::ifstream(directory_ / "log").rdbuf();
  return text.str();
}

std::string ServerProcess::token() const { return token(kSecret); }

std::string ServerProcess::operator_token() const { return auth::mint(kSecret, R"({"role":"service_role"})"); }

std::string ServerProcess::token(std::string_view secret) const {
  return auth::mint(secret, R"({"role":"authenticated","exp":)" + tomorrow() + "}");
}

std::string ServerProcess::token_of_user(std::string_view subject) const {
  return auth::mint(kSecret, R"({"aud":"authenticated","role":"authenticated","sub":")" + std::string(subject) +
                                 R"(","exp":)" + tomorrow() + "}");
}

std::string ServerProcess::handshake(std::string_view more_headers) const {
  return handshake_of("127.0.0.1", token(), more_headers);
}

std::string ServerProcess::handshake_of(std::string_view host, std::string_view token,
                                        std::string_view more_headers) const {
  return "GET /socket/websocket?apikey=" + std::string(token) +
         "&vsn=2.0.0 HTTP/1.1\r\n"
         "Host: " +
         std::string(host) + ":" + std::to_string(port_) +
         "\r\n"
         "Connection: Upgrade\r\n"
         "Upgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
         std::string(more_headers) + "\r\n";
}

}  // namespace rt::load
