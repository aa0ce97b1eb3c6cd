#include "services/realtime/socket_endpoint.h"

#include <doctest/doctest.h>

#include "testing/manual_clock.h"

namespace rt::realtime {
namespace {

struct Fixture {
  ManualClock clock;
  TenantRecord record{.external_id = "acme"};
  TokenFaultKind fault = TokenFaultKind::kMalformed;
  bool joins_are_over_limit = false;

  // `fault` for every token but "good".
  Result<SessionStart, HandshakeRefusal> check(std::string target, std::vector<http::Header> extra = {},
                                               std::string host = "acme.example.test:4000", std::int64_t users = 0) {
    http::Request request{.method = "GET", .target = std::move(target)};
    request.headers = {{"host", std::move(host)},
                       {"connection", "Upgrade"},
                       {"upgrade", "websocket"},
                       {"sec-websocket-key", "x"},
                       {"sec-websocket-version", "13"}};
    request.headers.insert(request.headers.end(), extra.begin(), extra.end());
    LiveTenants tenants(
        [this](std::string_view name) {
          return name == "acme" ? std::make_shared<const TenantRecord>(record) : nullptr;
        },
        "", 1, clock);
    if (const auto tenant = tenants.of_host("acme")) {
      for (; users > 0; --users) tenant->add_user();
    }
    return check_handshake(request, tenants, the_host());
  }
  HandshakeHost the_host() {
    return {.verify = [this](const TenantRecord&, std::string_view text) -> Result<TokenRef, TokenFault> {
              if (text == "good") return std::make_shared<const Token>();
              return tl::make_unexpected(TokenFault{fault, 5, "k\"1"});
            },
            .joins_are_over_limit = [this](const std::shared_ptr<LiveTenant>&) { return joins_are_over_limit; }};
  }
  int status(std::string target, std::vector<http::Header> extra = {}, std::string host = "acme.example.test") {
    const auto result = check(std::move(target), std::move(extra), std::move(host));
    return result ? 101 : result.error().response.status;
  }
};

TEST_CASE("the first failing check decides") {
  Fixture f;
  CHECK(f.status("/s?vsn=9.0.0", {}, "nobody") == 403);
  CHECK(f.status("/s", {}, "nobody") == 404);
  CHECK(f.status("/s") == 401);
  CHECK(f.status("/s?apikey=good") == 101);
  f.record.suspended = true;
  CHECK(f.status("/s") == 403);
  f.record.suspended = false;
  f.record.limits.concurrent_users_max = 2;
  CHECK(f.check("/s?apikey=good", {}, "acme", 1));
  CHECK(f.check("/s?apikey=good", {}, "acme", 2).error().response.status == 429);
  f.joins_are_over_limit = true;
  CHECK(f.check("/s?apikey=good", {}, "acme", 2).error().response.body == R"({"error":"Too many connected users"})");
  CHECK(f.check("/s?apikey=good", {}, "acme", 1).error().response.body == R"({"error":"Too many joins per second"})");
  CHECK(f.check("/s?apikey=good", {}, "acme", 1).error().code == "JoinsRateLimitReached");
  CHECK(f.status("/s?apikey=bad") == 401);
}

TEST_CASE("the header wins over the parameter, even when it is empty") {
  Fixture f;
  CHECK(f.status("/s?apikey=bad", {{"x-api-key", "good"}}) == 101);
  CHECK(f.status("/s?apikey=good", {{"x-api-key", ""}}) == 401);
  CHECK(f.status("/s?apikey[]=good") == 401);
  CHECK(f.status("/s?apikey=bad&apikey=good") == 101);
}

TEST_CASE("each fault of a token has its status and body") {
  Fixture f;
  const auto body = [&f](TokenFaultKind kind) {
    f.fault = kind;
    return f.check("/s?apikey=bad").error().response.body;
  };
  CHECK(body(TokenFaultKind::kMalformed) == R"({"error":"The token provided is not a valid JWT"})");
  CHECK(body(TokenFaultKind::kExpired) == R"({"error":"Token has expired"})");
  CHECK(body(TokenFaultKind::kMissingClaims) == R"({"error":"Fields `role` and `exp` are required in JWT"})");
  CHECK(
      body(TokenFaultKind::kNoKeyForKid) ==
      R"({"error":"Failed to generate JWT signer for key ID (kid) \"k\\\"1\", check your JWT secret or JWKS configuration"})");
  CHECK(body(TokenFaultKind::kOther) == R"({"error":"Error connecting to Realtime"})");
  CHECK(f.check("/s?apikey=bad").error().response.status == 500);
}

TEST_CASE("a client that needs no upgrade passes the other checks, and only those") {
  Fixture f;
  http::Request request{.method = "GET", .target = "/s?apikey=good&vsn=2.0.0", .headers = {{"host", "acme"}}};
  LiveTenants tenants([&f](std::string_view) { return std::make_shared<const TenantRecord>(f.record); }, "", 1,
                      f.clock);
  const auto start = check_client(request, tenants, f.the_host());
  REQUIRE(start);
  CHECK(start->form.version == phoenix::Version::kV2);
  CHECK(check_handshake(request, tenants, f.the_host()).error().response.status == 400);
  request.target = "/s?vsn=2.0.0";
  CHECK(check_client(request, tenants, f.the_host()).error().response.body == R"({"error":"API key is missing"})");
}

TEST_CASE("what is no upgrade is refused at once, behind all other checks") {
  Fixture f;
  const auto result = f.check("/s?apikey=good", {}, "");
  CHECK(!result);
  http::Request plain{.method = "GET", .target = "/s?apikey=good", .headers = {{"host", "acme"}}};
  LiveTenants tenants([&f](std::string_view) { return std::make_shared<const TenantRecord>(f.record); }, "", 1,
                      f.clock);
  const auto refused = check_handshake(plain, tenants, f.the_host());
  REQUIRE(!refused);
  CHECK(refused.error().response.status == 400);
  CHECK(refused.error().when == HandshakeRefusal::When::kNow);
}

}  // namespace
}  // namespace rt::realtime
