// What a member of a channel may do there. In a private channel the tenant's database decides; in a public one
// everybody may everything.
#pragma once

#include <optional>

namespace rt {

// Each is true, false, or nullopt: not asked yet. Only true lets anything through.
struct Rights {
  std::optional<bool> broadcast_read{};
  std::optional<bool> broadcast_write{};
  std::optional<bool> presence_read{};
  std::optional<bool> presence_write{};

  static constexpr Rights all() { return {true, true, true, true}; }
  bool operator==(const Rights&) const = default;
};

}  // namespace rt
