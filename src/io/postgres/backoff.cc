#include "io/postgres/backoff.h"

#include <algorithm>

namespace rt::postgres {

void Backoff::failed(Time now) {
  const int doublings = std::min(failures_, 20);
  ++failures_;
  const auto whole = std::min<std::chrono::milliseconds>(config_.first * (1LL << doublings), config_.max);
  const auto micros = static_cast<std::uint64_t>(std::chrono::microseconds(whole).count());
  not_before_ = now + std::chrono::microseconds(micros / 2 + random_.next() % (micros / 2 + 1));
}

}  // namespace rt::postgres
