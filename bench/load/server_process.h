// One server under load: a process on cores of its own, with a free port, an empty data directory and limits that are
// out of the way.
//
// It inherits nothing from our environment, so that a PORT or DB_HOST of the machine cannot change a figure.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/child.h"

namespace rt::load {

struct ServerConfig {
  std::string program;
  Cores cores{0};
  int workers = 1;
  std::vector<std::string> args;  // go after those that every server gets
  std::vector<std::string> env;   // NAME=value, likewise
};

class ServerProcess {
 public:
  // Returns when the server is ready. The error holds the end of its log.
  static Result<std::unique_ptr<ServerProcess>> start(const ServerConfig& config);

  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // For a tenant of another name, with a secret of its own.
  std::string token(std::string_view secret) const;
  std::string handshake_of(std::string_view host, std::string_view token, std::string_view more_headers = {}) const;
  // For /api/tenants.
  std::string operator_token() const;

  pid_t pid() const { return child_->pid(); }
  std::uint16_t port() const { return port_; }
  std::uint16_t tls_port() const { return tls_port_; }  // 0: it has none
  std::chrono::nanoseconds time_to_ready() const { return time_to_ready_; }
  std::string log() const;  // stdout and stderr so far

  std::string token() const;  // a valid one of the tenant
  std::string token_of_user(std::string_view subject) const;
  // A request for a WebSocket with a valid token, on version 2.0.0 of the protocol. `more_headers` are whole lines.
  std::string handshake(std::string_view more_headers = {}) const;

 private:
  ServerProcess();

  Result<void> spawn(const ServerConfig& config);
  Result<void> wait_until_ready();

  std::filesystem::path directory_;
  std::unique_ptr<Child> child_;
  std::uint16_t port_ = 0;
  std::uint16_t tls_port_ = 0;
  std::chrono::nanoseconds time_to_ready_{0};
};

}  // namespace rt::load
