// Presence as channels see it: who is present on a topic, and what members must be told when that changes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/shared_text.h"
#include "model/topic.h"

namespace rt {

// A topic with all that tells it from others, in one text: the name under which presence knows it.
std::string presence_topic(const TopicKey& topic);
// Views into `name`. nullopt: presence_topic() makes no such text.
std::optional<TopicKey> parse_presence_topic(std::string_view name);

// A meta as the client spelled it. There always is one.
using PresencePayload = SharedText;

// The identity of a meta, the same on every node. It is made of the dot under which the meta was born, so it is unique
// without anybody keeping it.
struct PresenceRef {
  std::uint64_t replica = 0;  // a hash of the incarnation; its low 48 bits count
  std::uint64_t clock = 0;    // 0: there is none; below 2^48
  bool operator==(const PresenceRef&) const = default;

  explicit operator bool() const { return clock != 0; }
  std::string text() const;  // `phx_ref`: 16 characters of URL-safe base64
};

struct PresenceMeta {
  std::string key;
  PresenceRef ref;
  PresenceRef ref_prev;  // of the meta that this one replaced, if any
  PresencePayload payload;
};

// Joins are to be applied before leaves: then a key whose meta is replaced is never seen empty.
struct PresenceTopicDiff {
  std::vector<PresenceMeta> joins;
  std::vector<PresenceMeta> leaves;
};

// By topic, as `presence_topic` names it. A topic without changes is not in it.
using PresenceDiff = std::map<std::string, PresenceTopicDiff, std::less<>>;

}  // namespace rt
