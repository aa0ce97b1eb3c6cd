#include "main/config_command.h"

#include <doctest/doctest.h>

#include <map>
#include <sstream>

#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace rt::app {
namespace {

struct Run {
  int code = 0;
  std::string out;
  std::string err;
};

Run run(std::vector<std::string> arguments, const std::map<std::string, std::string>& variables = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const Environment environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  const int code = run_config_command(std::move(arguments), environment, out, err);
  return {code, out.str(), err.str()};
}

// The line of a setting, with single spaces.
std::string line_of(const Run& run, const std::string& name) {
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name + " ")) continue;
    std::string words;
    std::istringstream rest(line);
    for (std::string word; rest >> word;) words += (words.empty() ? "" : " ") + word;
    return words;
  }
  return "";
}

TEST_CASE("each setting is shown with its value and where that comes from") {
  const Run shown = run({"--port", "5000"}, {{"PORT", "6000"}, {"MAX_CONNECTIONS", "7"}});
  CHECK(shown.code == 0);
  CHECK(line_of(shown, "PORT") == "PORT 5000 --port");
  CHECK(line_of(shown, "MAX_CONNECTIONS") == "MAX_CONNECTIONS 7 env MAX_CONNECTIONS");
  CHECK(line_of(shown, "DRAIN_DELAY_MS") == "DRAIN_DELAY_MS 2000 default");
  CHECK(line_of(shown, "--send") == "--send auto default");
}

TEST_CASE("no secret is shown, in neither form") {
  const std::map<std::string, std::string> secrets = {{"API_JWT_SECRET", "s3cret-1"},
                                                      {"API_JWT_SECRET_NEXT", "s3cret-2"},
                                                      {"METRICS_JWT_SECRET", "s3cret-3"},
                                                      {"DB_ENC_KEY", "s3cret-456789012"},
                                                      {"API_TOKEN_BLOCKLIST", "s3cret-5"},
                                                      {"METRICS_TOKEN_BLOCKLIST", "s3cret-6"},
                                                      {"METRICS_PUSHER_AUTH", "s3cret-9"},
                                                      {"METRICS_PUSHER_URL", "http://127.0.0.1/?key=s3cret-10"},
                                                      {"API_JWT_JWKS", R"({"keys":["s3cret-7"]})"},
                                                      {"DB_ENC_KEY_GCM", "s3cret-8901234567890123456789012"}};
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{}, {"--json"}}) {
    const Run shown = run(arguments, secrets);
    CHECK(shown.code == 0);
    CHECK(shown.out.find("s3cret") == std::string::npos);
    CHECK(shown.out.find("(hidden)") != std::string::npos);
  }
  CHECK(line_of(run({}, secrets), "API_JWT_SECRET") == "API_JWT_SECRET (hidden) env API_JWT_SECRET");
}

TEST_CASE("programs get it as JSON") {
  const Run shown = run({"--json", "--port=5000"});
  const auto document = json::walk_document(shown.out);
  REQUIRE(document);
  json::Elements settings(*json::Value(document->text).member("settings"));
  bool has_port = false;
  while (const auto setting = settings.next()) {
    if (setting->member("variable")->string() != "PORT") continue;
    has_port = true;
    CHECK(setting->member("flag")->string() == "--port");
    CHECK(setting->member("value")->string() == "5000");
    CHECK(setting->member("source")->string() == "--port");
  }
  CHECK(has_port);
}

TEST_CASE("what the server would refuse is refused with the same words") {
  const Run refused = run({"--port", "x"});
  CHECK(refused.code == 1);
  CHECK(refused.out.empty());
  CHECK(refused.err.find("--port expected a Integer, got \"x\"") != std::string::npos);
  CHECK(run({"--help"}).out.find("Usage: realtime config") == 0);
}

}  // namespace
}  // namespace rt::app
