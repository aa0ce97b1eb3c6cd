#include "main/tenant_command.h"

#include <doctest/doctest.h>

#include <sstream>

#include "domain/auth/jwt.h"
#include "testing/manual_clock.h"

namespace rt::app {
namespace {

// A server that answers as it is told and remembers what it was asked.
struct Terminal {
  int run(const std::vector<std::string>& arguments, const std::string& input = "") {
    ManualClock clock;  // 1790000000
    SystemRandom random;
    out.str("");
    err.str("");
    calls.clear();
    std::istringstream in(input);
    const Environment environment = [](const std::string& name) -> std::optional<std::string> {
      return name == "API_JWT_SECRET" ? std::optional<std::string>("s") : std::nullopt;
    };
    const CallHttp call = [this](const HttpCall& one) -> Result<HttpAnswer> {
      calls.push_back(one);
      if (answers.empty()) return fail("cannot reach the server");
      HttpAnswer answer = answers.front();
      answers.erase(answers.begin());
      return answer;
    };
    return run_tenant_command(arguments, environment, clock, random, call, in, out, err);
  }

  std::vector<HttpAnswer> answers;
  std::vector<HttpCall> calls;
  std::ostringstream out, err;
};

constexpr const char* kAcme = R"({"data":{"external_id":"acme","max_concurrent_users":7,"private_only":false}})";

TEST_CASE("tenants are listed as a table, or as the server tells them") {
  Terminal t;
  t.answers = {{200, R"({"data":[{"external_id":"acme","max_concurrent_users":200},{"external_id":"b"}]})"}};
  CHECK(t.run({"list", "--url", "http://there:1"}) == 0);
  CHECK(t.out.str().starts_with("name  users  events/s"));
  CHECK(t.out.str().find("\nacme  200") != std::string::npos);
  CHECK(t.calls[0].url == "http://there:1");
  const std::string token = t.calls[0].headers[0].second.substr(std::string("Bearer ").size());
  CHECK(auth::verify(token, {.secret = "s"}, 1790000000));
  CHECK(!auth::verify(token, {.secret = "s"}, 1790000060));
  t.answers = {{200, R"({"data":[]})"}};
  t.run({"list", "--json"});
  CHECK(t.out.str() == "[]\n");
}

TEST_CASE("a new tenant gets a secret of its own, which is shown this once") {
  Terminal t;
  t.answers = {{404, ""}, {201, kAcme}};
  CHECK(t.run({"add", "ac me", "max_events_per_second=5", "name=Acme & Co"}) == 0);
  REQUIRE(t.calls.size() == 2);
  CHECK(t.calls[1].method == "PUT");
  CHECK(t.calls[1].path == "/api/tenants/ac%20me");
  const std::string& body = t.calls[1].body;
  const std::string secret = body.substr(std::string(R"({"tenant":{"jwt_secret":")").size(), 64);
  CHECK(body == R"({"tenant":{"jwt_secret":")" + secret + R"(","max_events_per_second":5,"name":"Acme & Co"}})");
  CHECK(t.out.str().find(secret) != std::string::npos);
  t.answers = {{404, ""}, {201, kAcme}};
  t.run({"add", "acme", "--json"});
  CHECK(t.out.str().find(R"("private_only":false,"jwt_secret":")") != std::string::npos);

  t.answers = {{404, ""}, {201, kAcme}};
  t.run({"add", "acme", "jwt_secret=-"}, "from a pipe\n");
  CHECK(t.calls[1].body == R"({"tenant":{"jwt_secret":"from a pipe"}})");
  CHECK(t.out.str().find("from a pipe") == std::string::npos);
  t.answers = {{404, ""}, {201, kAcme}};
  t.run({"add", "acme", "jwt_secret=123", "name=true", "feature_flags={\"a\":true}"});
  CHECK(t.calls[1].body == R"({"tenant":{"jwt_secret":"123","name":"true","feature_flags":{"a":true}}})");

  t.answers = {{200, kAcme}};
  CHECK(t.run({"add", "acme"}) == 1);
  CHECK(t.calls.size() == 1);
}

TEST_CASE("only a tenant that is there is changed or removed") {
  Terminal t;
  t.answers = {{200, kAcme}, {200, kAcme}};
  CHECK(t.run({"set", "acme", "suspend=true"}) == 0);
  CHECK(t.calls[1].method == "PATCH");
  CHECK(t.calls[1].body == R"({"tenant":{"suspend":true}})");
  t.answers = {{404, ""}};
  CHECK(t.run({"set", "acme", "suspend=true"}) == 1);
  CHECK(t.err.str() == "realtime tenant: there is no such tenant\n");
  t.answers = {{200, kAcme}, {204, ""}};
  CHECK(t.run({"remove", "acme"}) == 0);
  CHECK(t.calls[1].method == "DELETE");
  t.answers = {{404, ""}};
  CHECK(t.run({"remove", "acme"}) == 1);
}

TEST_CASE("what goes wrong is said, and what to do") {
  Terminal t;
  t.answers = {{200, kAcme}, {422, R"({"errors":{"suspend":["is invalid"]}})"}};
  CHECK(t.run({"set", "acme", "suspend=7"}) == 1);
  CHECK(t.err.str() == "realtime tenant: the server answered 422: {\"errors\":{\"suspend\":[\"is invalid\"]}}\n");
  t.answers = {{403, ""}};
  CHECK(t.run({"list"}) == 1);
  CHECK(t.err.str().find("its API_JWT_SECRET is another one") != std::string::npos);
  t.answers = {};
  CHECK(t.run({"list"}) == 1);
  for (const auto& words : std::vector<std::vector<std::string>>{{},
                                                                 {"show"},
                                                                 {"list", "x"},
                                                                 {"rename", "a"},
                                                                 {"set", "a"},
                                                                 {"set", "a", "x"},
                                                                 {"add", "a", "=1"},
                                                                 {"list", "--x"}}) {
    CHECK(t.run(words) == 1);
    CHECK(t.calls.empty());
  }
  CHECK(t.run({"--help"}) == 0);
  CHECK(t.out.str().starts_with("Usage: realtime tenant"));
}

}  // namespace
}  // namespace rt::app
