// What the nodes of a cluster tell each other about presence. `domain/presence/replication.h` says when, and
// `protocol/bus/codec.h` how it looks on the wire.
//
// `shard` says which of the independent states is meant: topics are spread over a number of them that is the same on
// every node, so that several workers can share the work.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "model/presence.h"
#include "model/replica.h"

namespace rt {

// An entry on its way.
struct PresenceBirth {
  std::uint64_t clock = 0;     // of its replica, > 0
  std::uint64_t replaces = 0;  // the clock of the entry whose place it took; 0: none
  std::string topic;
  std::string key;
  PresencePayload payload;
};

// "This is how much I have of each replica": all up to this clock.
struct PresenceDigest {
  struct Version {
    ReplicaId replica;
    std::uint64_t clock = 0;
    bool operator==(const Version&) const = default;
  };
  ReplicaId sender;
  std::uint32_t shard = 0;
  std::vector<Version> versions;
};

// "This is what happened here": the events of the sender with a clock in (from, to].
struct PresenceDelta {
  ReplicaId sender;
  std::uint32_t shard = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::vector<PresenceBirth> births;  // ascending clocks in (from, to]: those born and still alive
  std::vector<std::uint64_t> gone;    // ascending clocks <= from: those that ended
};

// "Tell me what you have of this replica": sent to one peer, which answers with a chunk.
struct PresencePull {
  ReplicaId sender;
  ReplicaId receiver;
  std::uint32_t shard = 0;
  std::uint64_t id = 0;  // chosen by the sender
  ReplicaId replica;
  std::uint64_t known = 0;  // entries up to this clock need only be named
  std::uint64_t after = 0;  // where the last chunk ended
  std::uint64_t top = 0;    // where the last one will end, as the first chunk said; 0: this asks for the first
};

// "Of this replica these entries with a clock in (after, through] are alive, and no others."
struct PresenceChunk {
  ReplicaId sender;
  ReplicaId receiver;
  std::uint32_t shard = 0;
  std::uint64_t id = 0;
  ReplicaId replica;
  std::uint64_t after = 0;
  std::uint64_t through = 0;
  std::uint64_t top = 0;
  std::vector<std::uint64_t> kept;    // ascending: alive, and known to the receiver
  std::vector<PresenceBirth> births;  // ascending: alive, the others
};

using PresenceMessage = std::variant<PresenceDigest, PresenceDelta, PresencePull, PresenceChunk>;

}  // namespace rt
