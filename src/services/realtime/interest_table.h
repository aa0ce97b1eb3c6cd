// Which workers care about which topics, so that a publisher bothers only those.
//
// A fixed table of bit masks, indexed by a hash of tenant and topic: no lock, no growth. A worker sets its bit before
// its subscriber's join is answered and clears it when it has no subscriber left in that bucket; two topics that share
// a bucket cost a needless post now and then and nothing else.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "domain/channels/topic_table.h"

namespace rt::realtime {

class InterestTable {
 public:
  static constexpr std::size_t kBuckets = 65'536;

  // Bit i: worker i may have subscribers.
  std::uint64_t workers(std::uint64_t topic_hash) const { return masks_[topic_hash % kBuckets].load(); }

 private:
  friend class WorkerInterest;
  std::unique_ptr<std::atomic<std::uint64_t>[]> masks_{new std::atomic<std::uint64_t>[kBuckets]()};
};

// One worker's side of it; used on its thread only.
class WorkerInterest final : public channels::Interest {
 public:
  WorkerInterest(InterestTable& table, int worker)
      : table_(table), bit_(std::uint64_t{1} << worker), topics_(InterestTable::kBuckets) {}

  void begin(std::uint64_t topic_hash) override {
    const std::size_t bucket = topic_hash % InterestTable::kBuckets;
    if (topics_[bucket]++ == 0) table_.masks_[bucket].fetch_or(bit_);
  }
  void end(std::uint64_t topic_hash) override {
    const std::size_t bucket = topic_hash % InterestTable::kBuckets;
    if (--topics_[bucket] == 0) table_.masks_[bucket].fetch_and(~bit_);
  }

 private:
  InterestTable& table_;
  const std::uint64_t bit_;
  std::vector<std::uint32_t> topics_;  // of each bucket
};

}  // namespace rt::realtime
