// A row that was written to a tenant's realtime.messages, on its way to the members of its topic.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "model/topic.h"

namespace rt {

struct StoredBroadcast {
  std::string tenant;  // external id
  std::string topic;   // without `realtime:`
  Privacy privacy = Privacy::kPrivate;
  std::string event;
  enum class Kind : std::uint8_t { kJson, kBinary };
  Kind kind = Kind::kJson;
  std::string payload;  // the text of the jsonb, or the bytes
  std::string id;       // of the row, a UUID
  // Found after a time in which nothing was told: it is for channels that had joined before that. nullopt: for all.
  std::optional<Time> joined_before{};
  // Held until every frame that was made of the row was taken by the kernel, or let go of. May be null.
  std::shared_ptr<const void> receipt{};
};

}  // namespace rt
