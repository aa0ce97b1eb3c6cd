#include "base/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>
#include <thread>

#include "testing/temporary_directory.h"

namespace rt {
namespace {

using namespace std::chrono_literals;

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string line_of(LogConfig config, const LogFields& fields, std::string_view message) {
  const TemporaryDirectory directory;
  config.file = directory.file("log");
  {
    auto log = Log::open(config);
    REQUIRE(log);
    (*log)->write(LogLevel::kError, fields, message);
  }
  return contents(config.file);
}

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_match(text, std::regex(pattern));
}

bool becomes_true(const std::function<bool()>& condition) {
  for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(10ms);
  return condition();
}

TEST_CASE("a line names time, tenant, error code and level before its message [C-027]") {
  const LogFields fields{.tenant = "acme", .error_code = "MalformedJWT", .topic = "room:1", .request_id = "r1"};
  const std::string line = line_of({.region = "us-east-1"}, fields, "MalformedJWT: not a token");
  CHECK(matches(line,
                R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z request_id=r1 project=acme external_id=acme )"
                R"(error_code=MalformedJWT topic=room:1 region=us-east-1 \[error\] MalformedJWT: not a token\n)"));
}

TEST_CASE("a line of a socket names the claims of its token, and one of a request its client") {
  const LogFields fields{.client = "192.0.2.1", .subject = "ann", .issuer = "https://issuer", .expires_at = 1900000000};
  CHECK(matches(line_of({}, fields, "hello"),
                R"(\S+Z exp=1900000000 sub=ann iss=https://issuer client=192\.0\.2\.1 \[error\] hello\n)"));
}

TEST_CASE("fields that are not known are left out") {
  CHECK(matches(line_of({}, {}, "hello"), R"(\S+Z \[error\] hello\n)"));
}

TEST_CASE("a JSON line carries the same fields") {
  const LogFields fields{.tenant = "acme", .error_code = "X"};
  CHECK(matches(line_of({.format = LogFormat::kJson, .region = "eu"}, fields, "say \"hi\" \\"),
                R"(\{"time":"\S+Z","level":"error","project":"acme","external_id":"acme","error_code":"X",)"
                R"("region":"eu","message":"say \\"hi\\" \\\\"\}\n)"));
}

TEST_CASE("what was measured is an object of a JSON line") {
  const LogFields fields{.tenant = "acme", .measurements = R"({"limit":100,"sum":7})"};
  CHECK(matches(line_of({.format = LogFormat::kJson}, fields, "x"),
                R"(.*"external_id":"acme","measurements":\{"limit":100,"sum":7\},"message":"x"\}\n)"));
  CHECK(matches(line_of({}, fields, "x"),
                R"(\S+Z project=acme external_id=acme measurements=\{"limit":100,"sum":7\} \[error\] x\n)"));
}

TEST_CASE("a client cannot forge a log line") {
  const std::string attack = "a\n2026-01-01T00:00:00.000Z [error] forged\r\x1b[2J\xc2\x9b\xe2\x80\xa8\xff\"";
  const LogFields fields{.topic = attack};
  const std::string text = line_of({}, fields, attack);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(
      text.find(R"(topic="a\n2026-01-01T00:00:00.000Z [error] forged\u000d\u001b[2J\u009b\u2028\xff\"" [error] a\n)") !=
      std::string::npos);

  const std::string json = line_of({.format = LogFormat::kJson}, fields, attack);
  CHECK(std::count(json.begin(), json.end(), '\n') == 1);
  CHECK(json.find(R"("message":"a\n2026-01-01T00:00:00.000Z [error] forged\u000d\u001b[2J\u009b\u2028\ufffd\""})") !=
        std::string::npos);
}

TEST_CASE("letters of every script stay readable, and very long texts are cut at a whole character") {
  CHECK(line_of({}, {}, "żółw 東京 🐢").ends_with("[error] żółw 東京 🐢\n"));
  std::string turtles;
  for (int i = 0; i < 5000; ++i) turtles += "🐢";
  const std::string line = line_of({}, {}, "x" + turtles);
  CHECK(line.ends_with("🐢...\n"));
  CHECK(line.size() < 4200);
}

TEST_CASE("each log level hides what lies below it [C-009]") {
  CHECK(parse_log_level("emergency") == LogLevel::kCritical);
  CHECK(parse_log_level("alert") == LogLevel::kCritical);
  CHECK(parse_log_level("critical") == LogLevel::kCritical);
  CHECK(parse_log_level("error") == LogLevel::kError);
  CHECK(parse_log_level("warning") == LogLevel::kWarning);
  CHECK(parse_log_level("notice") == LogLevel::kInfo);
  CHECK(parse_log_level("info") == LogLevel::kInfo);
  CHECK(parse_log_level("debug") == LogLevel::kDebug);
  CHECK(!parse_log_level("chatty"));
  CHECK(!parse_log_level("Info"));

  const TemporaryDirectory directory;
  {
    auto log = Log::open({.level = LogLevel::kWarning, .file = directory.file("log")});
    REQUIRE(log);
    CHECK(!(*log)->enabled(LogLevel::kInfo));
    CHECK((*log)->enabled(LogLevel::kWarning));
    (*log)->info("hidden");
    (*log)->warning("seen");
  }
  CHECK(matches(contents(directory.file("log")), R"(\S+ \[warning\] seen\n)"));
}

TEST_CASE("after a rotation the log goes on in a new file, and no line is lost") {
  const TemporaryDirectory directory;
  const std::string file = directory.file("log");
  {
    auto log = Log::open({.file = file});
    REQUIRE(log);
    std::thread writer([&] {
      for (int i = 0; i < 3000; ++i) (*log)->info("line");
    });
    REQUIRE(becomes_true([&] { return !contents(file).empty(); }));
    std::filesystem::rename(file, file + ".1");
    (*log)->reopen();
    CHECK(becomes_true([&] { return std::filesystem::exists(file); }));
    writer.join();
    (*log)->info("last");
  }
  CHECK(contents(file).ends_with("last\n"));
  const std::string all = contents(file + ".1") + contents(file);
  CHECK(std::count(all.begin(), all.end(), '\n') == 3001);
}

TEST_CASE("a log file that cannot be opened is named") {
  const auto log = Log::open({.file = "/nonexistent/realtime.log"});
  REQUIRE(!log);
  CHECK(log.error().message == "opening the log file /nonexistent/realtime.log: No such file or directory");
}

TEST_CASE("a reader that stops reading the log delays neither those who write nor the exit [decision 45]") {
  const TemporaryDirectory directory;
  const std::string pipe = directory.file("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = open(pipe.c_str(), O_RDWR);
  auto log = Log::open({.file = pipe});
  REQUIRE(log);
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < Log::kLogQueueLines + 5000; ++i) (*log)->info("nobody reads this");
  CHECK((*log)->dropped() > 0);
  CHECK((*log)->dropped() <= 5000);
  log->reset();
  CHECK(std::chrono::steady_clock::now() - start < 8s);  // a second, and what sanitizers need

  // Unblock the thread that was left behind, so that this test leaves nothing.
  fcntl(reader, F_SETFL, O_NONBLOCK);
  char bytes[65536];
  int idle = 0;
  while (idle < 20) {
    if (read(reader, bytes, sizeof bytes) > 0) {
      idle = 0;
    } else {
      ++idle;
      std::this_thread::sleep_for(10ms);
    }
  }
  close(reader);
}

TEST_CASE("a reader of the log that has gone is counted, not a crash") {
  const TemporaryDirectory directory;
  const std::string pipe = directory.file("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = open(pipe.c_str(), O_RDWR);
  auto log = Log::open({.file = pipe});
  REQUIRE(log);
  close(reader);
  (*log)->info("into the void");
  CHECK(becomes_true([&] { return (*log)->dropped() == 1; }));
}

}  // namespace
}  // namespace rt
