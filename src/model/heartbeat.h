// What a node says periodically so that the others know it lives.
#pragma once

#include <cstdint>
#include <string>

#include "model/replica.h"

namespace rt {

struct Heartbeat {
  ReplicaId sender;
  std::uint64_t sequence = 0;  // 1 for the first: an older one that arrives late proves nothing
  std::string region;
  bool operator==(const Heartbeat&) const = default;
};

}  // namespace rt
