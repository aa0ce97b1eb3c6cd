#include "main/token_command.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/base64.h"
#include "domain/auth/jwt.h"
#include "main/secrets.h"
#include "testing/manual_clock.h"
#include "testing/temporary_directory.h"

namespace rt::app {
namespace {

struct Run {
  int exit_code = 0;
  std::string out;
  std::string err;

  // The claims as the token spells them.
  std::string claims() const {
    const std::size_t first = out.find('.');
    const std::size_t second = out.find('.', first + 1);
    REQUIRE(second != std::string::npos);
    return base64url_decode(std::string_view(out).substr(first + 1, second - first - 1)).value();
  }
};

using Variables = std::map<std::string, std::string>;

Run run(const std::vector<std::string>& arguments, const Variables& variables = {{"API_JWT_SECRET", "s"}}) {
  ManualClock clock;  // 1790000000
  std::ostringstream out, err;
  const Environment environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  const int exit_code = run_token_command(arguments, environment, clock, out, err);
  return {exit_code, out.str(), err.str()};
}

bool accepts(std::string_view secret, const std::string& printed) {
  const std::string token = printed.substr(0, printed.find('\n'));
  return auth::verify(token, {.secret = secret, .validators = nullptr, .requires_role_and_exp = false}, 1790000000)
      .has_value();
}

TEST_CASE("a token for a signed-in user is one command away") {
  const Run plain = run({});
  CHECK(plain.exit_code == 0);
  CHECK(plain.claims() == R"({"role":"authenticated","iat":1790000000,"exp":1790003600})");
  CHECK(accepts("s", plain.out));
  CHECK(!accepts("other", plain.out));
  CHECK(run({"--role", "anon", "--sub", "a\"b", "--expires-in", "7d"}).claims() ==
        R"({"role":"anon","sub":"a\"b","iat":1790000000,"exp":1790604800})");
}

TEST_CASE("claims are JSON where they are valid JSON, else strings, and replace the usual ones") {
  const Run given = run({"--claim", "n=1.50", "--claim", "list=[1,2]", "--claim", "word=hello", "--claim", "eq=a=b",
                         "--claim", "none=", "--claim", "exp=5"});
  CHECK(given.claims() == R"({"role":"authenticated","iat":1790000000,"exp":5,"n":1.50,"list":[1,2],)"
                          R"("word":"hello","eq":"a=b","none":""})");
}

TEST_CASE("a metrics token has its own secret and needs no role") {
  const Run metrics = run({"--metrics"}, {{"API_JWT_SECRET", "s"}, {"METRICS_JWT_SECRET", "m"}});
  CHECK(metrics.claims() == R"({"iat":1790000000,"exp":1790003600})");
  CHECK(accepts("m", metrics.out));
}

TEST_CASE("without a variable the secret is the one that the server made") {
  const TemporaryDirectory temporary;
  const std::string& directory = temporary.path();
  const Run too_early = run({"--data-dir", directory}, {});
  CHECK(too_early.exit_code == 1);
  CHECK(too_early.err.find("there is no secret in " + directory + " yet: start the server once") != std::string::npos);

  Config config;
  config.data_dir = directory;
  SystemRandom random;
  REQUIRE(resolve_secrets(config, random));
  CHECK(accepts(*config.api_jwt_secret, run({"--data-dir", directory}, {}).out));
  CHECK(accepts(*config.metrics_jwt_secret, run({"--metrics"}, {{"DATA_DIR", directory}}).out));
}

TEST_CASE("mistakes are explained and give no token") {
  for (const char* bad : {"1", "h", "0h", "-1h", "1w", "1hh", "99999999999d", ""}) {
    CAPTURE(bad);
    const Run mistaken = run({"--expires-in", bad});
    CHECK(mistaken.exit_code == 1);
    CHECK(mistaken.out.empty());
    CHECK(mistaken.err.find("--expires-in") != std::string::npos);
  }
  CHECK(run({"--claim", "name"}).err == "realtime token: --claim expected NAME=VALUE, got \"name\"\n");
  CHECK(run({"--claim", "=v"}).exit_code == 1);
  CHECK(run({"--rol", "x"}).err.find("realtime token --help") != std::string::npos);
  CHECK(run({"stray"}).exit_code == 1);
  CHECK(run({"--sub", "\xff"}).err == "realtime token: an argument is not valid UTF-8\n");
  CHECK(run({}, {{"API_JWT_SECRET", ""}}).err ==
        "realtime token: env API_JWT_SECRET is empty: give it the secret of the server, or unset it\n");
}

TEST_CASE("the help needs no secret") {
  const Run help = run({"--help"}, {});
  CHECK(help.exit_code == 0);
  CHECK(help.out.starts_with("Usage: realtime token"));
}

}  // namespace
}  // namespace rt::app
