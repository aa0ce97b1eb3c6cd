// Whether a feature is on for a tenant (tenants.md 11): a flag that nobody made is off; else what the tenant itself
// says goes over all; else a flag that is enabled is on for its share of the tenants.
//
// Which tenants are in a share is settled by a hash, so every node decides alike, and those that are in stay in when
// the share grows.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/feature_flag.h"
#include "model/tenant.h"

namespace rt::tenants {

class FeatureFlags {  // immutable
 public:
  FeatureFlags() = default;
  explicit FeatureFlags(std::vector<FeatureFlag> flags);

  // For no tenant in particular.
  bool is_enabled(std::string_view name) const;
  // `tenant.feature_flags` has to be a JSON object, as in a record that is ready for use.
  bool is_enabled_for(std::string_view name, const TenantRecord& tenant) const;

 private:
  std::map<std::string, FeatureFlag, std::less<>> flags_;
};

// 0 to 99: in the share of the flag when it is below its percentage. Never to be changed: tenants would move.
std::uint32_t bucket_of(std::string_view external_id, std::string_view key);

// What keeps it from being stored, in the words of the API: `rollout_percentage must be ...`.
Result<void> check(const FeatureFlag& flag);

}  // namespace rt::tenants
