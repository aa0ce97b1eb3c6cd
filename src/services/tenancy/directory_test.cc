#include "services/tenancy/directory.h"

#include <doctest/doctest.h>

#include "domain/auth/key_set.h"

namespace rt::tenancy {
namespace {

const tenants::Encryption kEncryption("1234567890123456", std::nullopt, tenants::Encryption::Format::kLegacy);

struct Filled {
  explicit Filled(std::vector<TenantRecord> records) {
    for (TenantRecord& record : records) directory.put(directory.made_ready(std::move(record)));
  }
  std::vector<std::string> complaints;
  Directory directory{kEncryption, [this](const std::string& text) { complaints.push_back(text); }};
};

TEST_CASE("a secret is decrypted when it is read, and one that cannot be costs its own tenant only [T-004]") {
  Filled filled({{.external_id = "good", .jwt_secret = "v1QVng3N+pZd/0AEObABwg=="},
                 {.external_id = "none"},
                 {.external_id = "plain", .jwt_secret = "a secret that nobody encrypted"}});
  CHECK(filled.directory.find("good")->jwt_secret == "postgres");
  CHECK(filled.directory.find("none")->jwt_secret.empty());
  CHECK(filled.directory.find("plain")->jwt_secret.empty());
  CHECK(filled.complaints == std::vector<std::string>{"the jwt_secret of tenant plain: it is not an encrypted value"});
}

TEST_CASE("the keys of a tenant are read with its record, and complained about where they are no good") {
  Filled filled({
      {.external_id = "keyless"},
      {.external_id = "good", .jwt_jwks = R"({"keys":[{"kid":"k","kty":"oct","k":"AAAA"}]})"},
      {.external_id = "bad", .jwt_jwks = R"({"keys":[{"kid":"k","kty":"RSA"}]})"},
      {.external_id = "broken", .jwt_jwks = "[]"},
  });
  const Directory& directory = filled.directory;
  CHECK(directory.size() == 4);
  CHECK(directory.find("keyless")->keys == nullptr);
  CHECK(directory.find("good")->keys->size() == 1);
  CHECK(directory.find("bad")->keys->size() == 1);
  CHECK(directory.find("broken")->keys == nullptr);
  REQUIRE(filled.complaints.size() == 2);
  CHECK(filled.complaints[0].starts_with("the JWKS of tenant bad: the key \"k\" cannot be used: "));
  CHECK(filled.complaints[1] == "the JWKS of tenant broken: not a JSON object with a list `keys`");
}

TEST_CASE("settings that are no JSON object are complained about and read as none") {
  Filled filled({{.external_id = "a",
                  .extensions = {{.type = "x", .settings = "{\"broken"}, {.type = "y", .settings = " {} "}}}});
  CHECK(filled.directory.find("a")->extensions[0].settings == "{}");
  CHECK(filled.directory.find("a")->extensions[1].settings == "{}");
  CHECK(filled.complaints == std::vector<std::string>{"the settings of x of tenant a: not a JSON object"});
}

TEST_CASE("a tenant is replaced as a whole, and those who hold the old record keep it") {
  Filled filled({{.external_id = "a", .name = "old"}, {.external_id = "b"}});
  const auto old = filled.directory.find("a");
  filled.directory.put(filled.directory.made_ready({.external_id = "a", .name = "new"}));
  CHECK(filled.directory.find("a")->name == "new");
  CHECK(old->name == "old");
  filled.directory.erase("a");
  CHECK(filled.directory.find("a") == nullptr);
  REQUIRE(filled.directory.all().size() == 1);
  CHECK(filled.directory.all()[0]->external_id == "b");
}

}  // namespace
}  // namespace rt::tenancy
