#include "model/topic.h"

namespace rt {

std::uint64_t hash_of(HashKey key, const TopicKey& topic) {
  const std::uint64_t tenant = siphash(key, topic.tenant);
  return siphash({key.k0 ^ tenant, key.k1 ^ static_cast<std::uint64_t>(topic.privacy)}, topic.topic);
}

}  // namespace rt
