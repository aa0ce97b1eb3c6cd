// The average rate of something over the last minute, and whether it has reached its limit (protocol.md 9.5).
//
// The count of each interval becomes a bucket, and the average is taken over the buckets there are: a counter that is
// new is quick to judge, an old one forgives bursts. Between ticks nothing changes, so a limit never costs anything per
// message.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace rt::tenants {

class RateCounter {
 public:
  struct Window {
    std::chrono::seconds tick;  // how often tick() is to be called
    std::size_t buckets;        // as many of the newest are kept
  };
  static constexpr Window kMinute{.tick = std::chrono::seconds(5), .buckets = 12};
  static constexpr Window kMinuteBySeconds{.tick = std::chrono::seconds(1), .buckets = 60};

  // Begins with an empty bucket. With a limit of 0 it is over from the beginning.
  RateCounter(const Window& window, std::int64_t limit);

  // `count` is what there was since the last tick.
  void tick(std::uint64_t count, std::int64_t limit);

  double per_second() const;
  bool is_over() const { return is_over_; }
  // There was nothing for as long as it remembers.
  bool is_idle() const { return sum_ == 0; }

 private:
  const Window window_;
  std::deque<std::uint64_t> buckets_;
  std::uint64_t sum_ = 0;
  bool is_over_ = false;
};

}  // namespace rt::tenants
