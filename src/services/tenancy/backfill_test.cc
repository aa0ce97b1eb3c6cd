#include "services/tenancy/backfill.h"

#include <doctest/doctest.h>

#include <functional>

#include "testing/test_registry.h"

namespace rt::tenancy {
namespace {

using Format = tenants::Encryption::Format;

// Somebody else acts just when a new value has been made of the one that was read.
struct MeddlingRandom final : Random {
  void fill(std::span<std::byte> out) override {
    if (const auto act = std::exchange(meddle, nullptr)) act();
    system.fill(out);
  }
  SystemRandom system;
  std::function<void()> meddle;
};

struct Fixture {
  Fixture() {
    TenantRecord tenant{.id = "i", .external_id = "acme", .jwt_secret = old.encrypt("s", system)};
    tenant.extensions = {{.id = "e", .type = "x", .settings = R"({"db_host":")" + old.encrypt("h", system) + R"("})"}};
    REQUIRE(store->put_tenant(tenant, store::Extensions::kReplace));
  }
  std::unique_ptr<store::ControlStore> open() const {
    auto opened = store::open_sqlite_store(path);
    REQUIRE(opened);
    return std::move(*opened);
  }
  void run() {
    backfill.add("acme");
    CHECK(backfill.do_next() == "acme");
    CHECK(!backfill.has_work());
  }
  TenantRecord stored() const { return store->find_tenant("acme").value().value(); }

  TemporaryDirectory files;
  std::string path = files.file("control.sqlite");
  SystemRandom system;
  tenants::Encryption old{TestRegistry::kLegacyKey, std::nullopt, Format::kLegacy};
  tenants::Encryption encryption{TestRegistry::kLegacyKey, TestRegistry::kKey, Format::kCurrent};
  std::unique_ptr<store::ControlStore> store = open();
  std::unique_ptr<store::ControlStore> others = open();
  QuietLog log;
  MeddlingRandom random;
  Backfill backfill{*store, encryption, random, log};
};

TEST_CASE("a secret that is rotated meanwhile stays rotated, the rest is done, and the tenant is not through [T-011]") {
  Fixture f;
  const std::string rotated = f.old.encrypt("rotated", f.system);
  f.random.meddle = [&] { REQUIRE(f.others->swap_secret("acme", {f.stored().jwt_secret, rotated}).value()); };
  f.run();
  CHECK(f.stored().jwt_secret == rotated);
  CHECK(!f.stored().gcm_migrated);
  CHECK(f.stored().extensions[0].settings.find("g1:") != std::string::npos);
  CHECK(f.log.lines == std::vector<std::string>{"EncryptionReconcileFailed: field=jwt_secret jwt_secret_changed"});
  f.run();
  CHECK(f.encryption.decrypt(f.stored().jwt_secret) == "rotated");
  CHECK(f.stored().gcm_migrated);
}

TEST_CASE("settings that are changed, taken away, and a tenant that goes, are named in the log") {
  const auto lines_of = [](const std::function<void(Fixture&)>& act) {
    Fixture f;
    TenantRecord keyless = f.stored();
    keyless.jwt_secret.clear();
    keyless.jwt_jwks = "{}";
    REQUIRE(f.store->put_tenant(keyless, store::Extensions::kKeep));
    f.random.meddle = [&] { act(f); };
    f.run();
    return f.log.lines;
  };
  using Lines = std::vector<std::string>;
  CHECK(lines_of([](Fixture& f) {
          TenantRecord changed = f.stored();
          changed.extensions[0].settings = R"({"db_host":")" + f.old.encrypt("other", f.system) + R"("})";
          REQUIRE(f.others->put_tenant(changed, store::Extensions::kReplace));
        }) == Lines{"EncryptionReconcileFailed: field=settings:x settings_changed"});
  CHECK(lines_of([](Fixture& f) {
          TenantRecord changed = f.stored();
          changed.extensions.clear();
          REQUIRE(f.others->put_tenant(changed, store::Extensions::kReplace));
        }) == Lines{"EncryptionReconcileFailed: field=settings:x extension_not_found"});
  CHECK(lines_of([](Fixture& f) { REQUIRE(f.others->delete_tenant("acme")); }) ==
        Lines{"EncryptionReconcileFailed: field=settings:x tenant_not_found"});
}

TEST_CASE("two nodes that do it at once do it once, without a complaint") {
  Fixture f;
  QuietLog other_log;
  Backfill other(*f.others, f.encryption, f.system, other_log);
  f.random.meddle = [&] {
    other.add("acme");
    CHECK(other.do_next() == "acme");
  };
  f.run();
  CHECK(f.stored().gcm_migrated);
  CHECK(f.encryption.decrypt(f.stored().jwt_secret) == "s");
  CHECK(!tenants::has_legacy(f.stored()));
  CHECK(f.log.lines == other_log.lines);
  CHECK(f.log.lines == std::vector<std::string>{"the secrets of the tenant lie in the current format now"});
}

TEST_CASE("a tenant of which something cannot be read is left alone until it changes") {
  Fixture f;
  REQUIRE(f.store->swap_secret("acme", {f.stored().jwt_secret, "nobody encrypted this"}).value());
  CHECK(f.backfill.is_due(f.stored()));
  f.run();
  CHECK(f.log.lines ==
        std::vector<std::string>{"EncryptionReconcileFailed: field=jwt_secret it is not an encrypted value"});
  CHECK(f.stored().extensions[0].settings.find("g1:") != std::string::npos);
  CHECK(!f.backfill.is_due(f.stored()));
  f.backfill.forget("acme");
  CHECK(f.backfill.is_due(f.stored()));
}

}  // namespace
}  // namespace rt::tenancy
