#include "services/realtime/rate_meter.h"

namespace rt::realtime {

bool RateMeter::claim(std::int64_t limit) {
  if (!asleep_.exchange(false, std::memory_order_acq_rel)) return false;
  restart(limit);
  return true;
}

void RateMeter::restart(std::int64_t limit) {
  counter_.emplace(window_, limit);
  taken_ = total();
  ticks_ = 0;
  show();
}

bool RateMeter::tick(std::int64_t limit) {
  const std::uint64_t now = total();
  last_count_ = now - taken_;
  counter_->tick(last_count_, limit);
  taken_ = now;
  show();
  if (++ticks_ % (kIdleCheckInterval / window_.tick) != 0 || !counter_->is_idle()) return true;
  over_.store(false, std::memory_order_relaxed);
  asleep_.store(true, std::memory_order_release);
  return false;
}

void RateMeter::show() {
  over_.store(counter_->is_over(), std::memory_order_relaxed);
  per_second_.store(counter_->per_second(), std::memory_order_relaxed);
}

std::uint64_t RateMeter::total() const {
  std::uint64_t sum = 0;
  for (const OfWorker& one : counts_) sum += one.count.value();
  return sum;
}

}  // namespace rt::realtime
