// One life of one node, as the cluster names it.
//
// What a node holds in memory dies with its process, so a node that starts again is somebody else: nothing that was
// said of the old incarnation may be taken for the new one's.
#pragma once

#include <compare>
#include <cstdint>

namespace rt {

struct ReplicaId {
  std::uint64_t node = 0;         // a hash of the node's name: the same after a restart
  std::uint64_t incarnation = 0;  // later lives have higher ones, as far as the wall clock can be trusted
  auto operator<=>(const ReplicaId&) const = default;
};

}  // namespace rt
