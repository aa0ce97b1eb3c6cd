#include "services/tenancy/directory.h"

#include <doctest/doctest.h>

#include "domain/auth/key_set.h"

namespace rt::tenancy {
namespace {

struct FakeStore final : store::ControlStore {
  std::vector<TenantRecord> tenants;

  Result<std::vector<TenantRecord>> load_tenants() override { return tenants; }
  Result<void> upsert_tenant(const TenantRecord&) override { return {}; }
};

const tenants::Encryption kEncryption("1234567890123456", std::nullopt, tenants::Encryption::Format::kLegacy);

TEST_CASE("a secret is decrypted when it is read, and one that cannot be costs its own tenant only") {
  FakeStore store;
  store.tenants = {{.external_id = "good", .jwt_secret = "v1QVng3N+pZd/0AEObABwg=="},
                   {.external_id = "none"},
                   {.external_id = "plain", .jwt_secret = "a secret that nobody encrypted"}};
  const auto directory = Directory::load(store, kEncryption);
  REQUIRE(directory);
  CHECK((*directory)->find("good")->jwt_secret == "postgres");
  CHECK((*directory)->find("none")->jwt_secret.empty());
  CHECK((*directory)->find("plain")->jwt_secret.empty());
  REQUIRE((*directory)->complaints().size() == 1);
  CHECK((*directory)->complaints()[0] == "the jwt_secret of tenant plain: it is not an encrypted value");
}

TEST_CASE("the keys of a tenant are read with its record, and complained about where they are no good") {
  FakeStore store;
  store.tenants = {
      {.external_id = "keyless"},
      {.external_id = "good", .jwt_jwks = R"({"keys":[{"kid":"k","kty":"oct","k":"AAAA"}]})"},
      {.external_id = "bad", .jwt_jwks = R"({"keys":[{"kid":"k","kty":"RSA"}]})"},
      {.external_id = "broken", .jwt_jwks = "[]"},
  };
  const auto directory = Directory::load(store, kEncryption);
  REQUIRE(directory);
  CHECK((*directory)->size() == 4);
  CHECK((*directory)->find("keyless")->keys == nullptr);
  CHECK((*directory)->find("good")->keys->size() == 1);
  CHECK((*directory)->find("bad")->keys->size() == 1);
  CHECK((*directory)->find("broken")->keys == nullptr);
  const std::vector<std::string>& complaints = (*directory)->complaints();
  REQUIRE(complaints.size() == 2);
  CHECK(complaints[0].starts_with("the JWKS of tenant bad: the key \"k\" cannot be used: "));
  CHECK(complaints[1] == "the JWKS of tenant broken: not a JSON object with a list `keys`");
}

}  // namespace
}  // namespace rt::tenancy
