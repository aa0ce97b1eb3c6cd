// When to try again after failures: twice as long each time, with jitter, so that those who lost the same server do not
// all come back at once.
#pragma once

#include <chrono>

#include "base/clock.h"
#include "base/random.h"

namespace rt::postgres {

struct BackoffConfig {
  std::chrono::milliseconds first{200};
  std::chrono::milliseconds max{30'000};
};

class Backoff {
 public:
  Backoff(const BackoffConfig& config, Random& random) : config_(config), random_(random) {}

  // The wait is between half and all of first × 2^(failures in a row - 1), at most `max`.
  void failed(Time now);
  void succeeded() {
    failures_ = 0;
    not_before_ = {};
  }
  // A time that has passed: at once.
  Time not_before() const { return not_before_; }
  int failures() const { return failures_; }

 private:
  const BackoffConfig config_;
  Random& random_;
  int failures_ = 0;
  Time not_before_{};
};

}  // namespace rt::postgres
