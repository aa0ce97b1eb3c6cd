// The request log: a line when a request begins, and one when it has its answer (http-api.md 1.7).
//
// Neither query strings nor headers nor bodies are part of it, for they hold tokens. A flood of requests must not drown
// other lines or cost its worker much, so only so many lines a second are written; what is left out is counted.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/counter.h"
#include "base/ip_address.h"
#include "base/log.h"
#include "io/net/worker.h"
#include "protocol/http/request.h"

namespace rt::ops {

enum class HealthChecks : std::uint8_t { kLogged, kNotLogged };

class RequestLog {  // of one worker, on its thread
 public:
  static constexpr int kLinesPerSecond = 2000;

  // `log` outlives this. `suppressed` counts the lines that are left out.
  RequestLog(Log& log, HealthChecks health_checks, Counter& suppressed)
      : log_(log), health_checks_(health_checks), suppressed_(suppressed) {}

  // `request` has its id and its client.
  void begin(net::ConnectionId connection, const http::Request& request, Time now);
  // Of the request that the connection has begun. nullopt: the connection ended before there was an answer.
  void end(net::ConnectionId connection, std::optional<int> status, Time now);

 private:
  struct Entry {
    Time began;
    std::string what;  // method and path
    std::string id;
    IpAddress client;
    bool is_health_check = false;
    bool has_begin_line = false;
  };

  bool has_room(Time now);
  void write(LogLevel level, const Entry& entry, std::string_view message);

  Log& log_;
  const HealthChecks health_checks_;
  Counter& suppressed_;
  Time second_began_{};
  int lines_ = 0;                                     // of that second
  std::unordered_map<std::uint64_t, Entry> entries_;  // requests without an answer
};

}  // namespace rt::ops
