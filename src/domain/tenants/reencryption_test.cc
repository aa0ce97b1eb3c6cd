#include "domain/tenants/reencryption.h"

#include <doctest/doctest.h>

#include "protocol/json/value.h"

namespace rt::tenants {
namespace {

constexpr const char* kLegacyKey = "1234567890123456";
constexpr const char* kKey = "12345678901234567890123456789012";
const Encryption kLegacy(kLegacyKey, std::nullopt, Encryption::Format::kLegacy);
const Encryption kCurrent(kLegacyKey, kKey, Encryption::Format::kCurrent);

TenantExtension database(const std::string& host, const std::string& rest = "") {
  return {.type = "postgres_cdc_rls", .settings = R"({"region":"us-east-1","db_host":")" + host + "\"" + rest + "}"};
}

TEST_CASE("all that is in the old format comes out in the current one, and nothing else changes [T-009]") {
  SystemRandom random;
  const TenantRecord stored{.jwt_secret = kLegacy.encrypt("s", random),
                            .extensions = {database(kLegacy.encrypt("h", random), R"(, "n" : 1.50)"), {.type = "x"}}};
  CHECK(has_legacy(stored));
  const auto all = reencrypted(stored, kCurrent, random);
  REQUIRE(all.size() == 2);
  CHECK(all[0].field == "jwt_secret");
  CHECK(all[0].before == stored.jwt_secret);
  CHECK(!Encryption::is_legacy(*all[0].after));
  CHECK(kCurrent.decrypt(*all[0].after) == "s");
  CHECK(all[1].field == "settings:postgres_cdc_rls");
  CHECK(all[1].extension == "postgres_cdc_rls");
  REQUIRE(all[1].after);
  const json::Value settings(*all[1].after);
  CHECK(settings.member("region")->string() == "us-east-1");
  CHECK(settings.member("n")->text() == "1.50");
  CHECK(kCurrent.decrypt(*settings.member("db_host")->string()) == "h");

  TenantRecord renewed = stored;
  renewed.jwt_secret = *all[0].after;
  renewed.extensions[0].settings = *all[1].after;
  CHECK(!has_legacy(renewed));
  CHECK(reencrypted(renewed, kCurrent, random).empty());
}

TEST_CASE("a tenant that has keys only keeps having no secret [T-013]") {
  SystemRandom random;
  const auto all = reencrypted({.extensions = {database(kLegacy.encrypt("h", random))}}, kCurrent, random);
  REQUIRE(all.size() == 1);
  CHECK(all[0].field == "settings:postgres_cdc_rls");
}

TEST_CASE("what cannot be decrypted is told, and the rest goes on") {
  SystemRandom random;
  const auto all =
      reencrypted({.jwt_secret = kLegacy.encrypt("s", random), .extensions = {database("plain")}}, kCurrent, random);
  REQUIRE(all.size() == 2);
  CHECK(all[0].after);
  CHECK(all[1].after.error().message == "db_host: it is not an encrypted value");
}

TEST_CASE("extensions that differ only in how they are encrypted are the same [T-012]") {
  SystemRandom random;
  const std::vector<TenantExtension> old = {database(kLegacy.encrypt("h", random))};
  CHECK(are_same(old, {database(kCurrent.encrypt("h", random))}, kCurrent));
  CHECK(!are_same(old, {database(kCurrent.encrypt("other", random))}, kCurrent));
  CHECK(!are_same(old, {database(kLegacy.encrypt("h", random), R"(,"n":1)")}, kCurrent));
  CHECK(!are_same(old, {}, kCurrent));
  CHECK(!are_same({database("a")}, {database("b")}, kCurrent));
  CHECK(!are_same({{.settings = "broken"}}, {{.settings = "otherwise"}}, kCurrent));
}

}  // namespace
}  // namespace rt::tenants
