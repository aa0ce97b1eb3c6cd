// Messages that are longer than the bus carries travel in pieces.
//
// A presence meta may have megabytes, NATS takes one by default. Pieces may come in any order and more than once; a
// message of which one is lost is never completed, and goes when there is no room for it any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bus/codec.h"

namespace rt::bus {

inline constexpr std::size_t kBusBytesMax = 512 * 1024;
inline constexpr std::size_t kMessageBytesMax = 16 * 1024 * 1024;

// What to send for an encoded message: itself if it has at most `bytes_max` bytes, else its pieces, each at most as
// long. `id` tells it from the sender's others. `bytes_max` >= 128. Nothing for a message above kMessageBytesMax, or of
// more than 65,536 pieces.
std::vector<std::string> split(std::string message, ReplicaId sender, std::uint64_t id,
                               std::size_t bytes_max = kBusBytesMax);

// The messages of which some pieces have come. Keeps the newest, in at most `bytes_max` bytes.
class Reassembly {
 public:
  explicit Reassembly(std::size_t bytes_max = 4 * kMessageBytesMax) : bytes_max_(bytes_max) {}

  // The encoded message, once its last piece has come. Pieces that cannot belong together are dropped.
  std::optional<std::string> add(Fragment fragment);

  std::size_t bytes() const { return bytes_; }
  std::uint64_t dropped() const { return dropped_; }  // pieces, and messages without their last ones

 private:
  struct Partial {
    ReplicaId sender;
    std::uint64_t id = 0;
    std::size_t missing = 0;
    std::size_t bytes = 0;
    std::vector<std::optional<std::string>> pieces;
  };
  void make_room();

  const std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  std::deque<Partial> partials_;  // oldest first
};

}  // namespace rt::bus
