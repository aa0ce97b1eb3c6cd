#include "domain/tenants/feature_flags.h"

#include <utility>

#include "base/siphash.h"
#include "domain/tenants/attributes.h"
#include "protocol/json/value.h"

namespace rt::tenants {
namespace {

constexpr std::int64_t kPercentMax = 100;

}  // namespace

FeatureFlags::FeatureFlags(std::vector<FeatureFlag> flags) {
  for (FeatureFlag& flag : flags) {
    std::string name = flag.name;
    flags_.insert_or_assign(std::move(name), std::move(flag));
  }
}

bool FeatureFlags::is_enabled(std::string_view name) const {
  const auto found = flags_.find(name);
  return found != flags_.end() && found->second.enabled;
}

bool FeatureFlags::is_enabled_for(std::string_view name, const TenantRecord& tenant) const {
  const auto found = flags_.find(name);
  if (found == flags_.end()) return false;
  const auto own = json::Value(tenant.feature_flags).member(name);
  if (own && own->type() == json::Type::kTrue) return true;
  if (own && own->type() == json::Type::kFalse) return false;
  const FeatureFlag& flag = found->second;
  return flag.enabled && bucket_of(tenant.external_id, flag.bucket_key.value_or(flag.name)) < flag.rollout_percentage;
}

// The length in front keeps ("ab", "c") apart from ("a", "bc").
std::uint32_t bucket_of(std::string_view external_id, std::string_view key) {
  constexpr HashKey kKey{0x666561747572655f, 0x666c6167735f7274};
  std::string text = std::to_string(external_id.size()) + ":";
  text.append(external_id).append(key);
  return static_cast<std::uint32_t>(siphash(kKey, text) % kPercentMax);
}

Result<void> check(const FeatureFlag& flag) {
  if (is_blank(flag.name)) return fail("name can't be blank");
  if (flag.name.size() > kNameBytesMax) return fail("name should be at most 255 bytes");
  if (flag.bucket_key && flag.bucket_key->size() > kNameBytesMax) return fail("bucket_key should be at most 255 bytes");
  if (flag.rollout_percentage < 0) return fail("rollout_percentage must be greater than or equal to 0");
  if (flag.rollout_percentage > kPercentMax) return fail("rollout_percentage must be less than or equal to 100");
  return {};
}

}  // namespace rt::tenants
