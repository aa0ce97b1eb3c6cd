#include "services/realtime/token_table.h"

#include <doctest/doctest.h>

namespace rt::realtime {
namespace {

constexpr std::string_view kSecret = "the secret of acme";
constexpr UnixSeconds kNow = 1'790'000'000;

struct Fixture {
  TokenRef verified(std::string_view subject) {
    const std::string text =
        auth::mint(kSecret, R"({"role":"authenticated","exp":1790003600,"sub":")" + std::string(subject) + "\"}");
    return *table.verify(tenant, text, kNow);
  }

  TenantRecord tenant{.external_id = "acme", .jwt_secret = std::string(kSecret)};
  std::vector<auth::ClaimValidator> validators;
  TokenTable table{{1, 2}, validators};
};

TEST_CASE("a token is verified once for all who show it, and forgotten with the last of them") {
  Fixture f;
  TokenRef first = f.verified("alice");
  TokenRef second = f.verified("alice");
  CHECK(first == second);
  CHECK(f.verified("bob") != first);
  CHECK(f.table.size() == 1);
  first.reset();
  second.reset();
  CHECK(f.table.size() == 0);
}

TEST_CASE("what goes to other threads is one copy for all who hold a token, and leaves the table alone") {
  Fixture f;
  TokenRef token = f.verified("alice");
  const TokenRef copy = f.table.for_other_threads("acme", token);
  CHECK(copy != token);
  CHECK(copy->text == token->text);
  CHECK(copy->claims.json == token->claims.json);
  CHECK(f.table.for_other_threads("acme", f.verified("alice")) == copy);
  CHECK(f.table.for_other_threads("acme", f.verified("bob")) != copy);
  token.reset();
  CHECK(f.table.size() == 0);
  CHECK(copy->claims.subject == "alice");
}

TEST_CASE("a token that was verified before the keys of its tenant changed shares no copy with a later one") {
  Fixture f;
  const TokenRef before = f.verified("alice");
  const TokenRef copy = f.table.for_other_threads("acme", before);
  f.table.forget("acme");
  const TokenRef now = f.verified("alice");
  CHECK(f.table.for_other_threads("acme", now) != copy);
  CHECK(f.table.for_other_threads("acme", before) != copy);
}

}  // namespace
}  // namespace rt::realtime
