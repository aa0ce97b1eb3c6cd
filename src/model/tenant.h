// A tenant as the control store describes it: an immutable snapshot, shared by all workers and replaced as a whole.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rt {

namespace auth {
class KeySet;
}

struct TenantLimits {
  std::int64_t concurrent_users_max = 200;
  std::int64_t events_per_second_max = 100;
  std::int64_t presence_events_per_second_max = 1000;
  std::int64_t joins_per_second_max = 100;
  std::int64_t channels_per_client_max = 100;
  std::int64_t bytes_per_second_max = 100'000;             // stored and shown, not enforced
  std::int64_t payload_kb_max = 3000;                      // kilobytes of 1000 bytes
  std::optional<std::int64_t> client_presence_events_max;  // in a window; nullopt: the server's default
  std::optional<std::int64_t> client_presence_window_ms;
  bool operator==(const TenantLimits&) const = default;
};

// The settings of a service that a tenant has; `postgres_cdc_rls` describes its database.
struct TenantExtension {
  std::string id;  // UUID text
  std::string type;
  std::string settings;     // a JSON object; what says where the database is and how to log in is encrypted
  std::string inserted_at;  // UTC, as below; both are set by the store where they are empty
  std::string updated_at;
  bool operator==(const TenantExtension&) const = default;
};

struct TenantRecord {
  std::string id;           // UUID text
  std::string external_id;  // the name by which hosts select it
  std::string name;
  // For HS256, HS384 and HS512; never logged; empty: there is none. Encrypted on its way from and to a store.
  std::string jwt_secret;
  std::optional<std::string> jwt_jwks;  // JSON text `{"keys":[...]}`
  // `jwt_jwks` as it was read, once, when the record was loaded; null: there is none, or it is none.
  std::shared_ptr<const auth::KeySet> keys;
  TenantLimits limits;
  bool suspended = false;
  bool private_only = false;
  bool presence_enabled = false;
  std::vector<TenantExtension> extensions;  // at most one of each type
  // Not used by this server: kept for others that share the store.
  std::string cdc_default = "postgres_cdc_rls";
  std::string broadcast_adapter = "gen_rpc";
  std::int64_t migrations_ran = 0;
  std::string feature_flags = "{}";  // a JSON object of booleans, which go over the flags of the server
  bool gcm_migrated = false;         // no secret of it is left in the old format; set by the store
  std::string inserted_at;           // UTC, `2023-01-01T00:00:00`; set by the store
};

}  // namespace rt
