#include "io/store/sqlite_store.h"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "testing/temporary_directory.h"

namespace rt::store {
namespace {

struct StoreFile {
  std::unique_ptr<ControlStore> open() const {
    auto store = open_sqlite_store(path);
    REQUIRE_MESSAGE(store, store.error().message);
    return std::move(*store);
  }
  std::string error() const {
    const auto store = open_sqlite_store(path);
    return store ? "" : store.error().message;
  }
  void execute(const char* sql) const {
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
    REQUIRE(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(database);
  }

  TemporaryDirectory directory;
  std::string path = directory.file("control.db");
};

TenantRecord acme() {
  TenantRecord tenant;
  tenant.id = "11111111-1111-4111-8111-111111111111";
  tenant.external_id = "acme";
  tenant.name = "Acme";
  tenant.jwt_secret = "s";
  return tenant;
}

TEST_CASE("a tenant comes back as it was stored, also after a restart") {
  const StoreFile file;
  TenantRecord tenant = acme();
  tenant.name = "Ac'me; żółw";
  tenant.jwt_jwks = R"({"keys":[]})";
  tenant.limits = {1, 2, 3, 4, 5, 6, 7, std::nullopt, std::nullopt};
  tenant.suspended = true;
  tenant.presence_enabled = true;
  tenant.limits.client_presence_events_max = 8;
  tenant.cdc_default = "other";
  tenant.broadcast_adapter = "phoenix";
  tenant.migrations_ran = 81;
  tenant.feature_flags = R"({"x":true})";
  REQUIRE(file.open()->put_tenant(tenant, Extensions::kKeep));

  const auto loaded = file.open()->load_tenants();
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 1);
  const TenantRecord& found = loaded->front();
  CHECK(found.id == tenant.id);
  CHECK(found.external_id == "acme");
  CHECK(found.name == tenant.name);
  CHECK(found.jwt_secret == "s");
  CHECK(found.jwt_jwks == tenant.jwt_jwks);
  CHECK(found.limits.concurrent_users_max == 1);
  CHECK(found.limits.events_per_second_max == 2);
  CHECK(found.limits.presence_events_per_second_max == 3);
  CHECK(found.limits.joins_per_second_max == 4);
  CHECK(found.limits.channels_per_client_max == 5);
  CHECK(found.limits.bytes_per_second_max == 6);
  CHECK(found.limits.payload_kb_max == 7);
  CHECK(found.suspended);
  CHECK(!found.private_only);
  CHECK(found.presence_enabled);
  CHECK(found.inserted_at.size() == std::string("2023-01-01T00:00:00").size());
  CHECK(found.limits.client_presence_events_max == 8);
  CHECK(!found.limits.client_presence_window_ms);
  CHECK(found.cdc_default == "other");
  CHECK(found.broadcast_adapter == "phoenix");
  CHECK(found.migrations_ran == 81);
  CHECK(found.feature_flags == R"({"x":true})");
  file.execute("UPDATE tenants SET client_presence_window_ms = 7, inserted_at = '2023-01-01 10:20:30'");
  const auto again = file.open()->load_tenants();
  CHECK(again->front().limits.client_presence_window_ms == 7);
  CHECK(again->front().inserted_at == "2023-01-01T10:20:30");
}

TEST_CASE("storing a tenant again updates it and keeps its id [T-051]") {
  const StoreFile file;
  const auto store = file.open();
  REQUIRE(store->put_tenant(acme(), Extensions::kKeep));
  TenantRecord again = acme();
  again.id = "22222222-2222-4222-8222-222222222222";
  again.jwt_secret = "rotated";
  again.limits.joins_per_second_max = 9;
  again.private_only = true;
  REQUIRE(store->put_tenant(again, Extensions::kKeep));

  const auto loaded = store->load_tenants();
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 1);
  CHECK(loaded->front().id == acme().id);
  CHECK(loaded->front().jwt_secret == "rotated");
  CHECK(loaded->front().limits.joins_per_second_max == 9);
  CHECK(loaded->front().private_only);
}

TEST_CASE("only the owner can read the store, its log included, whatever the umask says") {
  const StoreFile file;
  const mode_t before = umask(0);
  const auto store = file.open();
  REQUIRE(store->put_tenant(acme(), Extensions::kKeep));
  umask(before);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status{};
    REQUIRE(stat((file.path + suffix).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
}

TEST_CASE("a tenant needs a secret or keys, and a refused one changes nothing") {
  const StoreFile file;
  const auto store = file.open();
  TenantRecord keyless = acme();
  keyless.jwt_secret.clear();
  const auto refused = store->put_tenant(keyless, Extensions::kKeep);
  REQUIRE(!refused);
  CHECK(refused.error().message == "writing tenant acme to the control store " + file.path +
                                       ": CHECK constraint failed: jwt_secret_or_jwt_jwks_required");
  CHECK(store->load_tenants()->empty());
  keyless.jwt_jwks = R"({"keys":[]})";
  CHECK(store->put_tenant(keyless, Extensions::kKeep));
  CHECK(store->load_tenants()->front().jwt_secret == "");
}

TEST_CASE("columns that were never filled read as their defaults") {
  const StoreFile file;
  CHECK(file.error() == "");
  file.execute(
      "INSERT INTO tenants (id, external_id, jwt_secret, max_presence_events_per_second, max_payload_size_in_kb, "
      "suspend, inserted_at, updated_at) VALUES ('i', 'old', 's', NULL, NULL, NULL, '', '')");
  const auto loaded = file.open()->load_tenants();
  REQUIRE(loaded->size() == 1);
  CHECK(loaded->front().name == "");
  CHECK(loaded->front().limits.presence_events_per_second_max == 1000);
  CHECK(loaded->front().limits.payload_kb_max == 3000);
  CHECK(!loaded->front().suspended);
}

TEST_CASE("a store of a newer program is refused and left alone") {
  const StoreFile file;
  CHECK(file.error() == "");
  file.execute("PRAGMA user_version = 4");
  CHECK(file.error() == "the control store " + file.path +
                            " has schema version 4, and this program knows versions up to 3: use the newer program "
                            "that wrote it, or another data directory");
  file.execute("PRAGMA user_version = 3");
  CHECK(file.error() == "");
}

TEST_CASE("extensions are replaced or left alone, and go with their tenant") {
  const StoreFile file;
  const auto store = file.open();
  TenantRecord tenant = acme();
  tenant.extensions = {{.id = "e1", .type = "b", .settings = R"({"x":1.50})"},
                       {.id = "e2", .type = "a", .settings = "{}"}};
  REQUIRE(store->put_tenant(tenant, Extensions::kReplace));
  TenantRecord other = acme();
  other.id = "another";
  other.external_id = "another";
  REQUIRE(store->put_tenant(other, Extensions::kReplace));
  tenant.extensions.clear();
  REQUIRE(store->put_tenant(tenant, Extensions::kKeep));

  auto found = store->find_tenant("acme");
  REQUIRE(found);
  REQUIRE(*found);
  REQUIRE((*found)->extensions.size() == 2);
  CHECK((*found)->extensions[0].type == "a");
  CHECK((*found)->extensions[1].settings == R"({"x":1.50})");
  CHECK((*found)->extensions[1].inserted_at.size() == std::string("2023-01-01T00:00:00").size());
  CHECK(store->load_tenants()->at(0).extensions == (*found)->extensions);
  CHECK(store->load_tenants()->at(1).extensions.empty());

  tenant.extensions = {{.id = "e3", .type = "a", .settings = "{}"}, {.id = "e4", .type = "a", .settings = "{}"}};
  CHECK(!store->put_tenant(tenant, Extensions::kReplace));
  CHECK((*store->find_tenant("acme"))->extensions.size() == 2);

  CHECK(store->delete_tenant("acme") == true);
  CHECK(store->delete_tenant("acme") == false);
  CHECK(!*store->find_tenant("acme"));
  tenant.extensions.clear();
  REQUIRE(store->put_tenant(tenant, Extensions::kKeep));
  CHECK((*store->find_tenant("acme"))->extensions.empty());
}

TEST_CASE("a change sees what there is, is written as a whole, and may change nothing") {
  const StoreFile file;
  const auto store = file.open();
  REQUIRE(store->put_tenant(acme(), Extensions::kKeep));
  const auto changed = store->change_tenant("acme", [](const std::optional<TenantRecord>& current) {
    REQUIRE(current);
    Write write{*current, Extensions::kKeep};
    write.record.limits.joins_per_second_max = 3;
    return write;
  });
  REQUIRE(changed);
  CHECK((*changed)->limits.joins_per_second_max == 3);
  CHECK((*changed)->inserted_at != "");
  CHECK(*store->change_tenant("nobody", [](const auto& current) -> std::optional<Write> {
    CHECK(!current);
    return std::nullopt;
  }) == std::nullopt);
  CHECK(store->put_tenant(acme(), Extensions::kKeep));  // nothing is left locked
  CHECK(file.open()->load_tenants()->size() == 1);
}

TEST_CASE("feature flags are stored by their name, and a share that is none is refused") {
  const StoreFile file;
  const auto store = file.open();
  CHECK(store->load_flags()->empty());
  const FeatureFlag flag{
      .id = "i1", .name = "f", .enabled = true, .rollout_percentage = 25, .bucket_key = std::string("k")};
  REQUIRE(store->put_flag(flag));
  REQUIRE(store->put_flag({.id = "i0", .name = "a"}));
  CHECK(store->load_flags() == std::vector<FeatureFlag>{{.id = "i0", .name = "a"}, flag});
  REQUIRE(store->put_flag({.id = "other", .name = "f", .rollout_percentage = 0}));
  CHECK(store->load_flags()->at(1) == FeatureFlag{.id = "i1", .name = "f", .rollout_percentage = 0});
  CHECK(!store->put_flag({.id = "i2", .name = "f", .rollout_percentage = 101}));
  CHECK(store->last_failure() == Failure::kOfData);
  CHECK(store->delete_flag("f") == true);
  CHECK(store->delete_flag("f") == false);
  CHECK(store->load_flags()->size() == 1);
}

TEST_CASE("a value takes the place of exactly the one that was read, and of no other [T-011]") {
  const StoreFile file;
  const auto store = file.open();
  TenantRecord tenant = acme();
  tenant.extensions = {{.id = "e1", .type = "a", .settings = R"({"x":1})"}};
  REQUIRE(store->put_tenant(tenant, Extensions::kReplace));
  CHECK(store->swap_secret("acme", {"other", "new"}) == false);
  CHECK(store->swap_secret("nobody", {"s", "new"}) == false);
  CHECK(store->swap_secret("acme", {"s", "new"}) == true);
  CHECK(store->swap_settings("acme", "a", {R"({"x":2})", R"({"x":3})"}) == false);
  CHECK(store->swap_settings("acme", "b", {R"({"x":1})", R"({"x":3})"}) == false);
  CHECK(store->swap_settings("acme", "a", {R"({"x":1})", R"({"x":3})"}) == true);
  CHECK(!(*store->find_tenant("acme"))->gcm_migrated);
  REQUIRE(store->mark_gcm_migrated("acme"));
  const auto found = *store->find_tenant("acme");
  CHECK(found->jwt_secret == "new");
  CHECK(found->extensions[0].settings == R"({"x":3})");
  CHECK(found->gcm_migrated);
}

TEST_CASE("what others write is noticed, and what we write is not") {
  const StoreFile file;
  const auto store = file.open();
  CHECK(store->has_changed());
  REQUIRE(store->put_tenant(acme(), Extensions::kKeep));
  CHECK(store->has_changed() == false);
  file.execute("UPDATE tenants SET private_only = 1");
  CHECK(store->has_changed() == true);
  CHECK(store->has_changed() == false);
  CHECK((*store->find_tenant("acme"))->private_only);
}

TEST_CASE("a file that cannot be opened or is no store is named with the reason") {
  StoreFile file;
  std::ofstream(file.path) << std::string(5000, 'x');
  CHECK(file.error() == "setting up the control store " + file.path + ": file is not a database");
  file.path = file.directory.path() + "/missing/control.db";
  CHECK(file.error() == "making the control store " + file.path + ": No such file or directory");
  file.path = file.directory.path();
  CHECK(file.error() == "opening the control store " + file.directory.path() + ": unable to open database file");
}

}  // namespace
}  // namespace rt::store
