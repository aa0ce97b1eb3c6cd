#include "domain/tenants/attributes.h"

#include <doctest/doctest.h>

#include "protocol/json/walker.h"

namespace rt::tenants {
namespace {

const Encryption kEncryption("1234567890123456", std::nullopt, Encryption::Format::kLegacy);
constexpr const char* kSettings =
    R"("region":"us-east-1","db_host":"127.0.0.1","db_port":"5432","db_name":"postgres","db_user":"u","db_password":"p")";

struct Change {
  explicit Change(std::string json) : text(std::move(json)) { REQUIRE(json::walk_document(text)); }
  Attributes attributes() { return {json::Value(text), kEncryption, random}; }
  std::string faults(Incomplete incomplete = Incomplete::kRefuse) {
    const auto applied = attributes().apply(record, incomplete);
    return applied ? "none" : applied.error().json();
  }
  std::string text;
  SystemRandom random;
  TenantRecord record{.external_id = "acme", .name = "Acme", .jwt_secret = "stored"};
};

std::string with_settings(const std::string& members) {
  return R"({"extensions":[{"type":"postgres","settings":{)" + members + "}}]}";
}

TEST_CASE("what is given changes, and nothing else") {
  Change change(R"({"name":"New","max_events_per_second":"7","max_joins_per_second":0,"suspend":"1","private_only":true,
                    "client_presence_window_ms":5,"unknown":[1],"external_id":"other","feature_flags":{"a":true}})");
  change.record.extensions = {{.type = "kept"}};
  CHECK(change.faults() == "none");
  const TenantRecord& record = change.record;
  CHECK(record.external_id == "acme");
  CHECK(record.name == "New");
  CHECK(record.jwt_secret == "stored");
  CHECK(record.limits.events_per_second_max == 7);
  CHECK(record.limits.joins_per_second_max == 0);
  CHECK(record.limits.concurrent_users_max == TenantLimits().concurrent_users_max);
  CHECK(record.limits.client_presence_window_ms == 5);
  CHECK(record.suspended);
  CHECK(record.private_only);
  CHECK(record.feature_flags == R"({"a":true})");
  CHECK(record.extensions.size() == 1);
}

TEST_CASE("every wrong type is named, all at once") {
  Change change(R"({"name":1,"jwt_secret":[],"jwt_jwks":"x","max_events_per_second":1.5,"max_joins_per_second":-1,
                    "max_channels_per_client":2147483648,"max_concurrent_users":null,"suspend":1,
                    "broadcast_adapter":"pigeon","feature_flags":{"a":1},"extensions":{}})");
  CHECK(change.faults() ==
        R"({"name":["is invalid"],"broadcast_adapter":["is invalid"],"max_concurrent_users":["can't be blank"],)"
        R"("max_events_per_second":["is invalid"],)"
        R"("max_channels_per_client":["must be less than or equal to 2147483647"],)"
        R"("max_joins_per_second":["must be greater than or equal to 0"],"suspend":["is invalid"],)"
        R"("feature_flags":["is invalid"],"jwt_jwks":["is invalid"],"jwt_secret":["is invalid"],)"
        R"("extensions":["is invalid"]})");
}

TEST_CASE("a text with a NUL in it is refused, for some stores would cut it there") {
  CHECK(Change(R"({"name":"a\u0000b","jwt_secret":"s\u0000"})").faults() ==
        R"({"name":["is invalid"],"jwt_secret":["is invalid"]})");
  CHECK(Change(R"({"extensions":[{"type":"x\u0000","settings":{}}]})").faults() ==
        R"({"extensions":[{"type":["is invalid"]}]})");
}

TEST_CASE("a tenant needs a secret or keys after the change") {
  constexpr const char* kNeither = R"({"jwt_secret":["either jwt_secret or jwt_jwks must be provided"]})";
  CHECK(Change(R"({"jwt_secret":null})").faults() == kNeither);
  CHECK(Change(R"({"jwt_secret":"  "})").faults() == kNeither);
  CHECK(Change(R"({"jwt_secret":null,"jwt_jwks":{"keys":[]}})").faults() == "none");
  CHECK(Change("{}").attributes().faults_of_new().json() ==
        R"({"external_id":["can't be blank"],"jwt_secret":["either jwt_secret or jwt_jwks must be provided"]})");
  CHECK(Change(R"({"external_id":"a","jwt_secret":"s"})").attributes().faults_of_new().are_none());
}

TEST_CASE("settings lie over the defaults, secrets encrypted, unknown keys untouched [T-014] [T-016]") {
  Change change(with_settings(std::string(kSettings) + R"(,"poll_interval_ms":7,"mine":[1.50,{}])"));
  REQUIRE(change.faults() == "none");
  REQUIRE(change.record.extensions.size() == 1);
  CHECK(change.record.extensions[0].type == "postgres_cdc_rls");
  const json::Value settings(change.record.extensions[0].settings);
  CHECK(settings.member("poll_interval_ms")->text() == "7");
  CHECK(settings.member("poll_max_changes")->text() == "100");
  CHECK(settings.member("poll_max_record_bytes")->text() == "1048576");
  CHECK(settings.member("publication")->string() == "supabase_realtime");
  CHECK(settings.member("slot_name")->string() == "supabase_realtime_replication_slot");
  CHECK(settings.member("mine")->text() == "[1.50,{}]");
  CHECK(settings.member("region")->string() == "us-east-1");
  CHECK(settings.member("db_host")->string() == "7Wwy/7hIGy35MCo8jeVy+w==");
  CHECK(settings.member("db_port")->string() == "m3KM2cjJ+t7C3443QcjOgA==");
  CHECK(settings.member("db_name")->string() == "v1QVng3N+pZd/0AEObABwg==");
  CHECK(kEncryption.decrypt(*settings.member("db_password")->string()) == "p");
}

TEST_CASE("the public name of the pool size is never stored [H-066]") {
  Change change(with_settings(std::string(kSettings) + R"(,"subcriber_pool_size":3,"postgres_changes_pool":10)"));
  REQUIRE(change.faults() == "none");
  const json::Value settings(change.record.extensions[0].settings);
  CHECK(settings.member("subcriber_pool_size")->text() == "10");
  CHECK(!settings.member("postgres_changes_pool"));
}

TEST_CASE("missing settings and those that are no text are named [T-015] [H-068]") {
  CHECK(
      Change(with_settings(R"("region":"r","db_port":5432,"db_name":" ","db_user":null,"db_password":"p")")).faults() ==
      R"({"extensions":[{"settings":["db_host can't be blank","db_port is invalid","db_name can't be blank",)"
      R"("db_user can't be blank"]}]})");
  const std::string good = R"({"type":"postgres_cdc_rls","settings":{)" + std::string(kSettings) + "}}";
  CHECK(Change(R"({"extensions":[)" + good + "," + good + "]}").faults() ==
        R"({"extensions":[{},{"type":["has already been taken"]}]})");
}

TEST_CASE("of a new tenant's extensions only those with type and settings are kept") {
  const std::string list = R"({"extensions":[{"type":"x"},{"settings":{}},7,{"type":"y","settings":{"a":1}}]})";
  Change change(list);
  CHECK(change.faults(Incomplete::kSkip) == "none");
  REQUIRE(change.record.extensions.size() == 1);
  CHECK(change.record.extensions[0].type == "y");
  CHECK(Change(list).faults() == R"({"extensions":[{"settings":["can't be blank"]},{"type":["can't be blank"]},)"
                                 R"({"type":["can't be blank"]},{}]})");
}

TEST_CASE("of members with one name the last counts, once") {
  Change change(with_settings(std::string(kSettings) + R"(,"mine":1,"mine":2)"));
  REQUIRE(change.faults() == "none");
  const std::string& settings = change.record.extensions[0].settings;
  CHECK(settings.find("\"mine\":1") == std::string::npos);
  CHECK(settings.find("\"mine\":2") != std::string::npos);
}

TEST_CASE("keys, suspension and private_only disconnect; limits restart their counters; the same again does nothing") {
  const TenantRecord before{.external_id = "a", .jwt_secret = "s"};
  const auto effects = [&](const std::string& json) {
    Change change(json);
    change.record = before;
    const auto supplied = change.attributes().apply(change.record, Incomplete::kRefuse);
    REQUIRE(supplied);
    return effects_of(before, change.record, *supplied, kEncryption);
  };
  for (const char* json : {R"({"jwt_secret":"s"})", R"({"jwt_jwks":{"keys":[]}})"}) {
    CHECK(effects(json).keys);
    CHECK(effects(json).disconnects);
  }
  for (const char* json : {R"({"suspend":true})", R"({"private_only":true})"}) {
    CHECK(!effects(json).keys);
    CHECK(effects(json).disconnects);
  }
  Change spelled(R"({"jwt_jwks":{"keys":[{"kid":"k","kty":"oct","k":"AAAA"}]},"feature_flags":{"a":true,"b":false}})");
  spelled.record.jwt_jwks = R"({"keys": [{"k": "AAAA", "kid": "k", "kty": "oct"}]})";
  spelled.record.feature_flags = R"({"b": false, "a": true})";
  const TenantRecord stored = spelled.record;
  const auto supplied = spelled.attributes().apply(spelled.record, Incomplete::kRefuse);
  REQUIRE(supplied);
  CHECK(!effects_of(stored, spelled.record, *supplied, kEncryption).any);
  TenantRecord again = before;
  again.id = "made again";
  CHECK(effects_of(before, again, {}, kEncryption).keys);
  CHECK(effects_of(before, again, {}, kEncryption).disconnects);
  CHECK(effects(R"({"max_events_per_second":1})").event_rate);
  CHECK(effects(R"({"max_joins_per_second":1})").join_rate);
  CHECK(effects(R"({"max_presence_events_per_second":1})").presence_rate);
  CHECK(!effects(R"({"max_joins_per_second":1})").disconnects);
  CHECK(effects(R"({"extensions":[]})").any);
  CHECK(effects(R"({"extensions":[]})").database);
  CHECK(effects(R"({"suspend":true})").database);
  CHECK(!effects(R"({"private_only":true})").database);
  CHECK(!effects(R"({"migrations_ran":7})").database);
  CHECK(effects(R"({"name":"n"})").any);
  CHECK(!effects(R"({"suspend":false,"max_events_per_second":100})").any);
}

}  // namespace
}  // namespace rt::tenants
