// Whether something failed so often lately that it is not worth trying: the breaker in front of a database.
#pragma once

#include <cstddef>
#include <deque>

#include "base/clock.h"

namespace rt::database {

class RecentFailures {
 public:
  // Open while there were `failures` or more within `window`; `failures` > 0.
  RecentFailures(std::size_t failures, Duration window) : failures_(failures), window_(window) {}

  // True: it has opened by this one.
  bool record(Time now) {
    const bool was_open = is_open(now);
    times_.push_back(now);
    if (times_.size() > failures_) times_.pop_front();
    return !was_open && is_open(now);
  }
  std::size_t failures() const { return failures_; }
  bool is_open(Time now) const { return times_.size() == failures_ && now - times_.front() < window_; }
  bool is_empty(Time now) const { return times_.empty() || now - times_.back() >= window_; }

 private:
  std::size_t failures_;
  Duration window_;
  std::deque<Time> times_;  // of the last so many
};

}  // namespace rt::database
