#include "domain/tenants/rate_counter.h"

namespace rt::tenants {

RateCounter::RateCounter(const Window& window, std::int64_t limit) : window_(window) { tick(0, limit); }

void RateCounter::tick(std::uint64_t count, std::int64_t limit) {
  buckets_.push_back(count);
  sum_ += count;
  if (buckets_.size() > window_.buckets) {
    sum_ -= buckets_.front();
    buckets_.pop_front();
  }
  is_over_ = per_second() >= static_cast<double>(limit);
}

double RateCounter::per_second() const {
  return static_cast<double>(sum_) / static_cast<double>(buckets_.size()) / static_cast<double>(window_.tick.count());
}

}  // namespace rt::tenants
