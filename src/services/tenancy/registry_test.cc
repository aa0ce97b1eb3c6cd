#include "services/tenancy/registry.h"

#include <sqlite3.h>

#include "testing/test_registry.h"

namespace rt::tenancy {

void TestRegistry::execute(const char* sql) const {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  sqlite3_busy_timeout(database, 5000);  // the registry may be writing
  REQUIRE(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

namespace {

using Kind = PutOutcome::Kind;

TEST_CASE(
    "a tenant is made with the server's limits, is found at once, and lies encrypted in the store [T-019] [T-020]") {
  TestRegistry t({.new_tenant_limits = {.events_per_second_max = 7, .joins_per_second_max = 9}});
  t.start();
  const PutOutcome made = t.put("acme", R"({"jwt_secret":"s3cret","name":"discarded","max_joins_per_second":0})");
  REQUIRE(made.kind == Kind::kCreated);
  CHECK(made.tenant->name == "acme");
  CHECK(made.tenant->limits.events_per_second_max == 7);
  CHECK(made.tenant->limits.joins_per_second_max == 0);
  CHECK(made.tenant->inserted_at != "");
  CHECK(t.directory.find("acme")->jwt_secret == "s3cret");
  CHECK(t.open_store()->find_tenant("acme").value()->jwt_secret == t.encryption.encrypt("s3cret", t.random));
  CHECK(t.wait_for_change(1).tenant == t.directory.find("acme"));
}

TEST_CASE("a change is told once with what it sets off, and one that changes nothing is not [T-026]") {
  TestRegistry t;
  t.start();
  t.put("acme", R"({"jwt_secret":"s"})");
  const PutOutcome same = t.put("acme", R"({"max_events_per_second":100,"suspend":false})");
  CHECK(same.kind == Kind::kUpdated);
  CHECK(t.changes_so_far() == 1);

  CHECK(t.put("acme", R"({"max_events_per_second":5})").kind == Kind::kUpdated);
  const TenantChange slower = t.wait_for_change(2);
  CHECK(slower.effects.event_rate);
  CHECK(!slower.effects.disconnects);
  CHECK(slower.tenant->limits.events_per_second_max == 5);

  t.put("acme", R"({"jwt_secret":"s"})");
  const TenantChange again = t.wait_for_change(3);
  CHECK(again.effects.keys);
  CHECK(again.effects.disconnects);
}

TEST_CASE("faults change nothing and are told") {
  TestRegistry t;
  t.start();
  CHECK(t.put("acme", "{}").faults == R"({"jwt_secret":["either jwt_secret or jwt_jwks must be provided"]})");
  CHECK(t.directory.size() == 0);
  t.put("acme", R"({"jwt_secret":"s"})");
  CHECK(t.put("acme", R"({"max_events_per_second":5,"suspend":"maybe"})").kind == Kind::kFaulty);
  CHECK(t.directory.find("acme")->limits.events_per_second_max == 100);
  CHECK(t.changes_so_far() == 1);
}

TEST_CASE("extensions stay when they are not given and go when the list is empty [H-070] [H-071]") {
  TestRegistry t;
  t.start();
  t.put("acme", R"({"jwt_secret":"s","extensions":[{"type":"other","settings":{"a":1.0}}]})");
  t.put("acme", R"({"max_events_per_second":5})");
  REQUIRE(t.directory.find("acme")->extensions.size() == 1);
  CHECK(t.directory.find("acme")->extensions[0].settings == R"({"a":1.0})");
  t.put("acme", R"({"extensions":[]})");
  CHECK(t.directory.find("acme")->extensions.empty());
}

TEST_CASE("a tenant that is removed is gone for everybody, and removing it again is no fault") {
  TestRegistry t;
  t.start();
  t.put("acme", R"({"jwt_secret":"s"})");
  CHECK(t.remove("acme") == RemoveOutcome::kRemoved);
  CHECK(t.directory.find("acme") == nullptr);
  const TenantChange gone = t.wait_for_change(2);
  CHECK(gone.external_id == "acme");
  CHECK(gone.tenant == nullptr);
  CHECK(gone.effects.disconnects);
  CHECK(t.remove("acme") == RemoveOutcome::kUnknown);
}

TEST_CASE("what others write to the store is seen without being asked for [T-025]") {
  TestRegistry t({.refresh_interval = std::chrono::milliseconds(5)});
  t.start();
  t.put("acme", R"({"jwt_secret":"s"})");
  t.execute("UPDATE tenants SET private_only = 1");
  const TenantChange edited = t.wait_for_change(2);
  CHECK(edited.effects.disconnects);
  CHECK(!edited.effects.keys);
  CHECK(edited.tenant->private_only);
  t.execute("DELETE FROM tenants");
  CHECK(t.wait_for_change(3).tenant == nullptr);
}

TEST_CASE("a store that cannot be used is said, tenants stay as they were known, and it goes on when it is back") {
  TestRegistry t({.refresh_interval = std::chrono::milliseconds(5)});
  t.start();
  t.put("acme", R"({"jwt_secret":"s"})");
  t.execute("ALTER TABLE tenants RENAME TO elsewhere");
  CHECK(t.put("acme", R"({"max_events_per_second":5})").kind == Kind::kUnavailable);
  CHECK(t.remove("acme") == RemoveOutcome::kUnavailable);
  CHECK(t.directory.find("acme")->limits.events_per_second_max == 100);
  CHECK(t.log.count() >= 2);
  t.execute("ALTER TABLE elsewhere RENAME TO tenants");
  CHECK(t.put("acme", R"({"max_events_per_second":5})").kind == Kind::kUpdated);
  CHECK(t.directory.find("acme")->limits.events_per_second_max == 5);
}

TEST_CASE("seeding again resets keys and limits and keeps the rest [T-051]") {
  TestRegistry t;
  const TenantRecord seeded{.id = "11111111-1111-4111-8111-111111111111",
                            .external_id = "dev",
                            .name = "dev",
                            .jwt_secret = t.encryption.encrypt("s", t.random)};
  REQUIRE(t.registry.seed(seeded));
  t.execute("UPDATE tenants SET max_events_per_second = 1, private_only = 1, feature_flags = '{\"a\":true}'");
  TenantRecord again = seeded;
  again.id = "22222222-2222-4222-8222-222222222222";
  REQUIRE(t.registry.seed(again));
  t.start();
  const auto found = t.directory.find("dev");
  CHECK(found->id == seeded.id);
  CHECK(found->limits.events_per_second_max == 100);
  CHECK(found->private_only);
  CHECK(found->feature_flags == R"({"a":true})");
}

constexpr RegistryConfig kQuick{.refresh_interval = std::chrono::milliseconds(5)};
using Format = tenants::Encryption::Format;

// A tenant as an older server left it.
void put_old(const TestRegistry& t, SystemRandom& random, const std::string& flags = "{}") {
  const tenants::Encryption old(TestRegistry::kLegacyKey, std::nullopt, Format::kLegacy);
  const TenantExtension database{
      .id = "e", .type = "postgres_cdc_rls", .settings = R"({"db_host":")" + old.encrypt("h", random) + R"("})"};
  REQUIRE(t.open_store()->put_tenant({.id = "i",
                                      .external_id = "acme",
                                      .jwt_secret = old.encrypt("s", random),
                                      .extensions = {database},
                                      .feature_flags = flags},
                                     store::Extensions::kReplace));
}

void put_flag(const TestRegistry& t, bool enabled) {
  REQUIRE(t.open_store()->put_flag({.id = "f", .name = "gcm_encryption_backfill", .enabled = enabled}));
}

TEST_CASE("secrets in the old format are brought to the current one, and nobody is told [T-009] [T-012]") {
  TestRegistry t(kQuick, Format::kCurrent);
  put_old(t, t.random);
  put_flag(t, true);
  t.start();
  const auto store = t.open_store();
  while (!store->find_tenant("acme").value()->gcm_migrated) std::this_thread::yield();
  const TenantRecord stored = *store->find_tenant("acme").value();
  CHECK(!tenants::has_legacy(stored));
  CHECK(t.encryption.decrypt(stored.jwt_secret) == "s");
  t.execute("UPDATE tenants SET name = 'New'");
  t.wait_for_change(1);
  CHECK(t.changes_so_far() == 1);
  CHECK(t.directory.find("acme")->jwt_secret == "s");
  CHECK(t.directory.find("acme")->extensions == stored.extensions);
}

TEST_CASE("secrets stay in the old format unless the flag is on and the current one is written [T-010]") {
  const auto stays = [](Format format, bool enabled, const std::string& flags) {
    TestRegistry t(kQuick, format);
    put_old(t, t.random, flags);
    put_flag(t, enabled);
    t.start();
    // It would be done before the store is looked at again.
    t.execute("UPDATE tenants SET name = 'first'");
    t.wait_for_change(1);
    t.execute("UPDATE tenants SET name = 'second'");
    t.wait_for_change(2);
    return tenants::has_legacy(*t.open_store()->find_tenant("acme").value());
  };
  CHECK(stays(Format::kCurrent, false, "{}"));
  CHECK(stays(Format::kLegacy, true, "{}"));
  CHECK(stays(Format::kCurrent, true, R"({"gcm_encryption_backfill":false})"));
  CHECK(!stays(Format::kCurrent, false, R"({"gcm_encryption_backfill":true})"));
  CHECK(!stays(Format::kCurrent, true, "{}"));
}

TEST_CASE("flags that others write are seen without being asked for, and seeding switches the backfill on [T-048]") {
  TestRegistry t(kQuick);
  REQUIRE(t.registry.seed({.id = "i", .external_id = "dev", .jwt_secret = t.encryption.encrypt("s", t.random)}));
  t.start();
  CHECK(t.directory.flags()->is_enabled("gcm_encryption_backfill"));
  CHECK(!t.directory.flags()->is_enabled("mine"));
  REQUIRE(t.open_store()->put_flag({.id = "f", .name = "mine", .enabled = true}));
  while (!t.directory.flags()->is_enabled("mine")) std::this_thread::yield();
  REQUIRE(t.open_store()->delete_flag("mine"));
  while (t.directory.flags()->is_enabled("mine")) std::this_thread::yield();
}

}  // namespace
}  // namespace rt::tenancy
