// Which events of one replica are known: the causal context, as far as that replica is concerned.
//
// The events of a replica are numbered from 1 without gaps, and arrive nearly in order. So what is known is nearly
// always "all up to n", one number; whatever came too early waits beside it as ranges, the cloud, until the gap closes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rt::presence {

class Dots {
 public:
  // All up to this one are known; 0: not even the first.
  std::uint64_t prefix() const { return prefix_; }
  std::uint64_t highest() const { return cloud_.empty() ? prefix_ : cloud_.back().last; }
  bool contains(std::uint64_t clock) const;
  // How many ranges there are beyond the prefix.
  std::size_t cloud_size() const { return cloud_.size(); }

  // All from `first` to `last`, both included, 1 <= first. Nothing happens if last < first.
  void add(std::uint64_t first, std::uint64_t last);

  bool operator==(const Dots&) const = default;

 private:
  struct Range {
    std::uint64_t first;
    std::uint64_t last;
    bool operator==(const Range&) const = default;
  };
  void compact();

  std::uint64_t prefix_ = 0;
  std::vector<Range> cloud_;  // ascending, with a gap before each
};

}  // namespace rt::presence
