#include "services/ops/request_log.h"

#include <doctest/doctest.h>

#include <vector>

namespace rt::ops {
namespace {

using namespace std::chrono_literals;

class Lines final : public Log {
 public:
  explicit Lines(LogLevel level = LogLevel::kInfo) : level_(level) {}
  bool enabled(LogLevel level) const override { return level >= level_; }
  void write(LogLevel level, const LogFields& fields, std::string_view message) override {
    constexpr std::string_view kNames[] = {"debug", "info", "warning", "error", "critical"};
    lines.push_back(std::string(kNames[static_cast<int>(level)]) + ' ' + std::string(fields.request_id) + ' ' +
                    std::string(fields.client) + ' ' + std::string(message));
  }
  std::uint64_t dropped() const override { return 0; }
  void reopen() override {}

  std::vector<std::string> lines;

 private:
  const LogLevel level_;
};

struct Fixture {
  explicit Fixture(LogLevel level = LogLevel::kInfo, HealthChecks health_checks = HealthChecks::kLogged)
      : log(level), requests(log, health_checks, suppressed) {}

  // The lines that one request leaves behind.
  std::vector<std::string> exchange(std::string target, std::optional<int> status) {
    log.lines.clear();
    http::Request request{.method = "GET", .target = std::move(target), .headers = {{"authorization", "secret"}}};
    request.client = *IpAddress::parse("192.0.2.1");
    request.id = "r1";
    requests.begin({1, 1}, request, now);
    requests.end({1, 1}, status, now + 1500us);
    return log.lines;
  }

  Time now{1h};
  Lines log;
  Counter suppressed;
  RequestLog requests;
};

using LineList = std::vector<std::string>;

TEST_CASE("a request has a line at its begin and one at its end, whose level tells how it went") {
  Fixture f;
  CHECK(f.exchange("/api/ping", 200) ==
        LineList{"info r1 192.0.2.1 GET /api/ping", "info r1 192.0.2.1 sent 200 in 1.500 ms"});
  CHECK(f.exchange("/socket/websocket", 101).back() == "info r1 192.0.2.1 sent 101 in 1.500 ms");
  CHECK(f.exchange("/x", 404).back() == "warning r1 192.0.2.1 sent 404 in 1.500 ms to GET /x");
  CHECK(f.exchange("/x", 503).back() == "error r1 192.0.2.1 sent 503 in 1.500 ms to GET /x");
  CHECK(f.exchange("/x", std::nullopt).back() ==
        "info r1 192.0.2.1 the connection ended before the answer, after 1.500 ms");
}

TEST_CASE("a query string is never logged, and neither is what else holds tokens") {
  Fixture f;
  for (const int status : {200, 401, 500}) {
    for (const char* target : {"/socket/websocket?apikey=secret", "http://u:secret@host/x?apikey=secret"}) {
      for (const std::string& line : f.exchange(target, status)) CHECK(line.find("secret") == std::string::npos);
    }
  }
}

TEST_CASE("below the level of the log nothing is written but what went wrong") {
  Fixture f(LogLevel::kWarning);
  CHECK(f.exchange("/x", 200).empty());
  CHECK(f.exchange("/x", 404) == LineList{"warning r1 192.0.2.1 sent 404 in 1.500 ms to GET /x"});
  Fixture silent(LogLevel::kCritical);
  CHECK(silent.exchange("/x", 500).empty());
}

TEST_CASE("health checks are information whatever they find, or not logged at all [H-079]") {
  for (const char* path : {"/healthcheck", "/api/tenants/acme/health", "/realtime/v1/api/tenants/acme/health"}) {
    Fixture logging;
    const LineList lines = logging.exchange(path, 503);
    REQUIRE(lines.size() == 2);
    CHECK(lines[1] == "info r1 192.0.2.1 sent 503 in 1.500 ms");
    Fixture quiet(LogLevel::kInfo, HealthChecks::kNotLogged);
    CHECK(quiet.exchange(path, 200).empty());
    CHECK(quiet.exchange("/readyz", 200).size() == 2);
  }
}

TEST_CASE("a flood of requests writes so many lines a second, and the rest is counted") {
  Fixture f;
  std::size_t written = 0;
  for (int i = 0; i < 5000; ++i) written += f.exchange("/x", 404).size();
  CHECK(written == RequestLog::kLinesPerSecond);
  CHECK(f.suppressed.value() == 10'000 - RequestLog::kLinesPerSecond);
  f.now += 1s;
  CHECK(f.exchange("/x", 404).size() == 2);
}

}  // namespace
}  // namespace rt::ops
