// A clock that stands still until a test moves it.
#pragma once

#include "base/clock.h"

namespace rt {

class ManualClock final : public Clock {
 public:
  Time now() const override { return now_; }
  std::chrono::system_clock::time_point wall() const override { return wall_; }

  void advance(Duration by) {
    now_ += by;
    wall_ += std::chrono::duration_cast<std::chrono::system_clock::duration>(by);
  }

 private:
  Time now_{std::chrono::hours(1)};
  std::chrono::system_clock::time_point wall_{std::chrono::seconds(1'790'000'000)};
};

}  // namespace rt
