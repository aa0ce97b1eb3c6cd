// How a tenant's database is reached, as its extension `postgres_cdc_rls` describes it (tenants.md 4).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "io/postgres/settings.h"
#include "model/tenant.h"
#include "services/database/policy_checks.h"

namespace rt::database {

// Whether a replication slot outlives its connection. kAuto: where the server bounds what one may keep.
enum class SlotMode : std::uint8_t { kAuto, kDurable, kTemporary };
std::optional<SlotMode> parse_slot_mode(std::string_view text);

struct TenantSettings {
  postgres::ConnectionSettings connection;
  std::size_t pool_size = 1;                      // db_pool
  std::size_t subscription_pool_size = 1;         // subs_pool_size; counts in the budget of connections only
  std::chrono::milliseconds queue_target{5'000};  // db_queue_target: how long one may wait for a connection
  std::optional<PolicyMethod> policy_method{};    // policy_checks; nullopt: as the node has it
  std::string publication = "supabase_realtime";  // of row changes; the user's
  std::string slot_name = "supabase_realtime_replication_slot";  // the first part of that of row changes
  std::chrono::milliseconds poll_interval{100};  // poll_interval_ms: of row changes, without a walsender
  std::size_t record_bytes_max = 1'048'576;      // poll_max_record_bytes: a larger row is told without its large values
  std::size_t subscribing_max = 4;               // subcriber_pool_size: as many time-outs in 30 s close the breaker
  std::optional<SlotMode> slot_mode{};           // nullopt: that of the server
  std::string region;                            // empty: none
};

// nullopt: the tenant has no database. The error says which setting is no good, and shows none.
Result<std::optional<TenantSettings>> settings_of(const TenantRecord& tenant, const tenants::Encryption& encryption);

}  // namespace rt::database
