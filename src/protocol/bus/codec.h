// What nodes tell each other, as bytes.
//
// The format is that of Protocol Buffers (proto3), so that programs of different versions understand each other: fields
// are numbered, unknown ones are skipped, absent ones are 0 or empty. This is the schema; numbers are never used again.
//
//     message Bus { oneof kind { Heartbeat heartbeat = 1; Digest digest = 2; Delta delta = 3; Pull pull = 4;
//                                Chunk chunk = 5; Fragment fragment = 6; } }
//     message Replica { fixed64 node = 1; fixed64 incarnation = 2; }
//     message Heartbeat { Replica sender = 1; uint64 sequence = 2; string region = 3; }
//     message Version { Replica replica = 1; uint64 clock = 2; }
//     message Digest { Replica sender = 1; uint32 shard = 2; repeated Version versions = 3; }
//     message Birth { uint64 clock = 1; uint64 replaces = 2; optional bytes topic = 3; optional bytes key = 4;
//                     bytes payload = 5; }
//     message Delta { Replica sender = 1; uint32 shard = 2; uint64 from = 3; uint64 to = 4; repeated Birth births = 5;
//                     bytes gone = 6; }
//     message Pull { Replica sender = 1; uint32 shard = 2; Replica receiver = 3; uint64 id = 4; Replica replica = 5;
//                    uint64 known = 6; uint64 after = 7; uint64 top = 8; }
//     message Chunk { Replica sender = 1; uint32 shard = 2; Replica receiver = 3; uint64 id = 4; Replica replica = 5;
//                     uint64 after = 6; uint64 through = 7; uint64 top = 8; bytes kept = 9; repeated Birth births = 10;
//                     }
//     message Fragment { Replica sender = 1; uint64 id = 2; uint32 index = 3; uint32 count = 4; bytes piece = 5; }
//
// A birth without topic has that of the birth before it, and so with keys: crowds are on one topic. `gone` and `kept`
// are ascending clocks, each as a varint of the distance to the one before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "model/heartbeat.h"
#include "model/presence_message.h"

namespace rt::bus {

// A piece of a message that was too long (`fragments.h`).
struct Fragment {
  ReplicaId sender;
  std::uint64_t id = 0;
  std::uint32_t index = 0;
  std::uint32_t count = 0;
  std::string piece;
  bool operator==(const Fragment&) const = default;
};

using BusMessage = std::variant<Heartbeat, PresenceDigest, PresenceDelta, PresencePull, PresenceChunk, Fragment>;

inline constexpr std::size_t kRegionBytesMax = 256;
// In one message.
inline constexpr std::size_t kBirthsMax = 65'536;
inline constexpr std::size_t kClocksMax = 1'048'576;
inline constexpr std::size_t kVersionsMax = 4'096;

std::string encode(const BusMessage& message);

// An error for whatever encode() of no version could have made, or exceeds a limit above. Says nothing about whether
// what the message claims can be true. A message that was cut off is never taken for a shorter one.
Result<BusMessage> decode(std::string_view bytes);

}  // namespace rt::bus
