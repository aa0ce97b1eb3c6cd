// A feature that is on for all tenants, for some or for none, as the control store describes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rt {

struct FeatureFlag {
  std::string id;  // UUID text; that of a flag that is there stays
  std::string name;
  bool enabled = false;
  std::int64_t rollout_percentage = 100;  // 0 to 100: of the tenants, where it is enabled
  std::optional<std::string> bucket_key;  // flags with the same one are on for the same tenants; nullopt: the name
  bool operator==(const FeatureFlag&) const = default;
};

}  // namespace rt
