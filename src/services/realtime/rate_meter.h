// How often a tenant does something on this node, counted by all workers.
//
// Each worker adds to a number of its own. One of them, the first that needed the meter, sums them up from time to time
// (whoever gets true from claim() has to call tick()); whether the limit is reached is a flag that all may read. A
// meter of which nothing was heard for long falls asleep, costs nothing and begins anew.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/counter.h"
#include "domain/tenants/rate_counter.h"

namespace rt::realtime {

class RateMeter {
 public:
  explicit RateMeter(std::size_t workers, const tenants::RateCounter::Window& window = tenants::RateCounter::kMinute)
      : window_(window), counts_(workers) {}
  std::chrono::seconds interval() const { return window_.tick; }

  // --- From any worker ---

  bool is_asleep() const { return asleep_.load(std::memory_order_relaxed); }
  // Wakes it. True for one caller only.
  bool claim(std::int64_t limit);
  void add(std::size_t worker, std::uint64_t n) { counts_[worker].count.add(n); }
  bool is_over() const { return over_.load(std::memory_order_relaxed); }
  // All that was ever counted.
  std::uint64_t total() const;
  double per_second() const { return per_second_.load(std::memory_order_relaxed); }  // as of the last tick

  // --- By the one that claimed it, every interval() ---

  // Begins anew, as if nothing had been counted.
  void restart(std::int64_t limit);
  // False: it sleeps now and belongs to nobody.
  bool tick(std::int64_t limit);
  std::uint64_t last_count() const { return last_count_; }  // of the interval that ended with the last tick

 private:
  static constexpr std::chrono::minutes kIdleCheckInterval{5};

  struct alignas(64) OfWorker {
    Counter count;
  };

  void show();

  const tenants::RateCounter::Window window_;
  std::vector<OfWorker> counts_;
  std::atomic<bool> asleep_{true};
  std::atomic<bool> over_{false};
  std::atomic<double> per_second_{0};
  // Of the one that claimed it.
  std::optional<tenants::RateCounter> counter_;
  std::uint64_t taken_ = 0;
  std::uint64_t last_count_ = 0;
  int ticks_ = 0;
};

}  // namespace rt::realtime
