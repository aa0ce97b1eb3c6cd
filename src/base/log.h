// The log: lines of text or JSON on stdout or in a file.
//
// Writing is asynchronous and bounded (decision: a blocked stdout never stops a worker): a thread of its own prints the
// lines; when kLogQueueLines wait, the oldest is dropped and counted. Secrets and tokens are never passed to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rt {

// The names of LOG_LEVEL. Alert and emergency log like critical, notice like info.
enum class LogLevel { kDebug, kInfo, kWarning, kError, kCritical };

std::optional<LogLevel> parse_log_level(std::string_view name);

enum class LogFormat { kText, kJson };

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  std::string file{};    // empty: stdout
  std::string region{};  // on every line when not empty
};

// What a line says besides its message; empty ones are left out.
struct LogFields {
  std::string_view tenant{};  // printed as project and external_id
  std::string_view error_code{};
  std::string_view topic{};
  std::string_view request_id{};
  std::string_view client{};        // the address of who sent a request
  std::string_view subject{};       // claims of the token of a socket or channel: `sub`,
  std::string_view issuer{};        // `iss`
  std::int64_t expires_at = 0;      // and `exp`; 0: none
  std::string_view measurements{};  // numbers, as a JSON object
};

class Log {  // thread-safe
 public:
  static constexpr std::size_t kLogQueueLines = 8192;

  static Result<std::unique_ptr<Log>> open(const LogConfig& config);
  virtual ~Log() = default;

  virtual bool enabled(LogLevel level) const = 0;
  virtual void write(LogLevel level, const LogFields& fields, std::string_view message) = 0;
  // Lines lost: the queue was full, or the destination refused them.
  virtual std::uint64_t dropped() const = 0;
  // Closes and opens the file again (SIGHUP, after a rotation). Without a file: nothing.
  virtual void reopen() = 0;

  void info(std::string_view message) { write(LogLevel::kInfo, {}, message); }
  void warning(std::string_view message) { write(LogLevel::kWarning, {}, message); }
  void error(std::string_view message) { write(LogLevel::kError, {}, message); }
};

}  // namespace rt
