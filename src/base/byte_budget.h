// How much of something may be held at a time, by whoever holds some of it on whichever thread.
#pragma once

#include <atomic>
#include <cstddef>

namespace rt {

class ByteBudget {
 public:
  explicit ByteBudget(std::size_t max) : max_(max) {}

  // False: it would be more than there is, and nothing was taken.
  bool take(std::size_t bytes) {
    std::size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > max_ || used > max_ - bytes) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const std::size_t max_;
  std::atomic<std::size_t> used_{0};
};

}  // namespace rt
