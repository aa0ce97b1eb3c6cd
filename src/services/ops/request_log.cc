#include "services/ops/request_log.h"

#include <cstdio>

namespace rt::ops {
namespace {

std::uint64_t key_of(net::ConnectionId id) { return std::uint64_t{id.generation} << 32 | id.slot; }

bool is_health_check(std::string_view resource) {
  return resource == "/healthcheck" || (resource.starts_with("/api/tenants/") && resource.ends_with("/health"));
}

LogLevel level_of(std::optional<int> status) {
  if (!status || *status < 400) return LogLevel::kInfo;
  return *status < 500 ? LogLevel::kWarning : LogLevel::kError;
}

std::string outcome(std::optional<int> status, Duration took) {
  char text[64];
  const double ms = std::chrono::duration<double, std::milli>(took).count();
  if (status) {
    std::snprintf(text, sizeof text, "sent %d in %.3f ms", *status, ms);
  } else {
    std::snprintf(text, sizeof text, "the connection ended before the answer, after %.3f ms", ms);
  }
  return text;
}

}  // namespace

void RequestLog::begin(net::ConnectionId connection, const http::Request& request, Time now) {
  const bool is_health = is_health_check(request.resource());
  if (is_health && health_checks_ == HealthChecks::kNotLogged) return;
  if (!log_.enabled(is_health ? LogLevel::kInfo : LogLevel::kError)) return;
  Entry& entry = entries_[key_of(connection)];
  entry = {.began = now,
           .what = request.method + ' ' + std::string(request.path()),
           .id = request.id,
           .client = request.client,
           .is_health_check = is_health,
           .has_begin_line = log_.enabled(LogLevel::kInfo) && has_room(now)};
  if (entry.has_begin_line) write(LogLevel::kInfo, entry, entry.what);
}

void RequestLog::end(net::ConnectionId connection, std::optional<int> status, Time now) {
  const auto found = entries_.find(key_of(connection));
  if (found == entries_.end()) return;
  const Entry entry = std::move(found->second);
  entries_.erase(found);
  const LogLevel level = entry.is_health_check ? LogLevel::kInfo : level_of(status);
  // Who has its first line gets the second.
  if (!log_.enabled(level) || (!entry.has_begin_line && !has_room(now))) return;
  std::string message = outcome(status, now - entry.began);
  if (level != LogLevel::kInfo) message += " to " + entry.what;  // the first line may be filtered
  write(level, entry, message);
}

bool RequestLog::has_room(Time now) {
  if (now - second_began_ >= std::chrono::seconds(1)) {
    second_began_ = now;
    lines_ = 0;
  }
  if (lines_ < kLinesPerSecond) return true;
  suppressed_.add();
  return false;
}

void RequestLog::write(LogLevel level, const Entry& entry, std::string_view message) {
  ++lines_;
  const std::string client = entry.client.text();
  log_.write(level, {.request_id = entry.id, .client = client}, message);
}

}  // namespace rt::ops
