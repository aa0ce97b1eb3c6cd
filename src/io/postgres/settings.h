// How to reach a database, and what its sessions are like.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace rt::postgres {

// kAny: addresses of both, those of IPv6 first. kV6ThenV4: those of IPv6 where there are any.
enum class AddressFamily : std::uint8_t { kAny, kV4, kV6, kV6ThenV4 };

// kUnverified: always encrypted, whoever the server is. kVerified: its certificate is for the host and comes from
// ca_file.
enum class TlsMode : std::uint8_t { kOff, kUnverified, kVerified };

// kReplication: a walsender of the database, which takes SQL too, one simple query at a time.
enum class SessionKind : std::uint8_t { kOrdinary, kReplication };

struct ConnectionSettings {
  std::string host;  // a name, an address, or the directory of a Unix socket
  std::string port = "5432";
  std::string database;
  std::string user;
  std::string password;  // never in an error or a log
  std::string application_name = "realtime";
  AddressFamily family = AddressFamily::kAny;
  TlsMode tls = TlsMode::kUnverified;
  std::string ca_file{};  // PEM, for kVerified
  // From the resolver to the end of the login, over all addresses of the host.
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds statement_timeout{10'000};  // > 0, of each statement, by the server
  std::chrono::milliseconds lock_timeout{10'000};       // 0: none of its own
  // How much longer than its time-outs allow a batch may go without an answer before the connection is given up, and
  // how long what was sent may stay unacknowledged.
  std::chrono::milliseconds answer_grace{5'000};
  int version_min = 140'000;  // as server_version_num
  SessionKind kind = SessionKind::kOrdinary;
  std::string search_path{};  // without spaces; empty: the database's
};

// What the server said of itself at login, up to date with what it has reported since.
struct ServerInfo {
  int version = 0;            // 150'018
  bool is_standby = false;    // hot standby: nothing can be written
  bool is_read_only = false;  // default_transaction_read_only, or a standby
  int backend_pid = 0;
  bool is_encrypted = false;
  bool is_by_ipv4 = false;  // how it is reached
};

// A warning or notice of the server. Called on the loop, must not call the connection.
struct Notice {
  std::string_view severity;  // "WARNING"; not translated
  std::string_view sqlstate;
  std::string_view message;
};
using OnNotice = std::function<void(const Notice&)>;

}  // namespace rt::postgres
