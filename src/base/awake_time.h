// Time as it passed while this process was awake.
//
// A process that was stopped, or whose machine slept, finds on waking that all it heard from others is old. That is its
// own doing: so a step of the clock counts for as much as a step may take at most, and one backwards counts nothing.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace rt {

class AwakeTime {
 public:
  // `step_max`: advance() is called more often than that while we are awake.
  AwakeTime(Time start, Duration step_max) : last_(start), now_(start), step_max_(step_max) {}

  // What the clock says now; returns how late it is by our time, which never goes backwards.
  Time advance(Time clock) {
    now_ += std::clamp(clock - last_, Duration::zero(), step_max_);
    last_ = clock;
    return now_;
  }

 private:
  Time last_;
  Time now_;
  const Duration step_max_;
};

}  // namespace rt
