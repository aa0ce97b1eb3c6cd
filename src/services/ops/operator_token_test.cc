#include "services/ops/operator_token.h"

#include <doctest/doctest.h>

namespace rt::ops {
namespace {

constexpr UnixSeconds kNow = 1'800'000'000;

bool accepts(const std::vector<http::Header>& headers, const std::vector<std::string>& blocklist = {}) {
  return operator_claims({.method = "GET", .target = "/metrics", .headers = headers},
                         {{"secret", "next secret"}, blocklist}, {}, kNow)
      .has_value();
}

std::string bearer(const std::string& token) { return "Bearer " + token; }

TEST_CASE("an operator shows a token without claims, in one header of exact form [H-014] [H-015] [H-018]") {
  const std::string token = auth::mint("secret", "{}");
  CHECK(accepts({{"authorization", bearer(token)}}));
  CHECK(accepts({{"authorization", bearer(auth::mint("next secret", "{}"))}}));
  CHECK(!accepts({}));
  CHECK(!accepts({{"authorization", token}}));
  CHECK(!accepts({{"authorization", "bearer " + token}}));
  CHECK(!accepts({{"authorization", bearer(token)}, {"authorization", bearer(token)}}));
  CHECK(!accepts({{"authorization", bearer(auth::mint("another", "{}"))}}));
  CHECK(!accepts({{"authorization", bearer(auth::mint("", "{}"))}}));
}

TEST_CASE("a token on the blocklist is refused, with spaces in it or without, and others are not [H-016]") {
  const std::string token = auth::mint("secret", "{}");
  CHECK(!accepts({{"authorization", bearer(token)}}, {"x", token}));
  CHECK(!accepts({{"authorization", bearer(" " + token.substr(0, 5) + " " + token.substr(5))}}, {token}));
  CHECK(!accepts(
      {{"authorization", bearer(token.substr(0, token.size() - 1) + "%" + "0123456789abcdef"[token.back() >> 4] +
                                "0123456789abcdef"[token.back() & 15])}},
      {token}));
  CHECK(accepts({{"authorization", bearer(auth::mint("secret", R"({"a":1})"))}}, {token}));
}

TEST_CASE("tokens of clients are told from those of operators by their role") {
  const auto is_of_client_token = [](const std::string& claims_json) {
    const auto claims = operator_claims(
        {.method = "GET", .target = "/", .headers = {{"authorization", bearer(auth::mint("secret", claims_json))}}},
        {{"secret"}, {}}, {}, kNow);
    REQUIRE(claims);
    return is_of_client(*claims);
  };
  CHECK(is_of_client_token(R"({"role":"anon"})"));
  CHECK(is_of_client_token(R"({"role":"authenticated","sub":"u"})"));
  CHECK(!is_of_client_token(R"({"role":"service_role"})"));
  CHECK(!is_of_client_token("{}"));
}

}  // namespace
}  // namespace rt::ops
