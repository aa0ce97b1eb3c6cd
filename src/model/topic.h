// Topics: the names messages are sent to.
//
// On the wire a topic is `realtime:` and a sub-topic. Inside, a sub-topic belongs to a tenant, and a private and a
// public channel of one name are two unrelated topics: all three parts are the key, and nothing ever meets across keys.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/siphash.h"

namespace rt {

inline constexpr std::string_view kTopicPrefix = "realtime:";

enum class Privacy : std::uint8_t { kPublic, kPrivate };

struct TopicKey {
  std::string_view tenant;  // TenantRecord::external_id
  Privacy privacy = Privacy::kPublic;
  std::string_view topic;  // as on the wire, with the prefix
  bool operator==(const TopicKey&) const = default;
};

// Lengths are hashed too, so that no (tenant, topic) pair can pass for another one.
std::uint64_t hash_of(HashKey key, const TopicKey& topic);

}  // namespace rt
