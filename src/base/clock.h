// Time as the program sees it: a monotonic clock for deadlines, the wall clock for tokens and logs.
//
// Code that decides something never reads a clock: it is handed the time, so that tests need not wait.
#pragma once

#include <chrono>
#include <cstdint>

namespace rt {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

// Seconds since 1970-01-01 UTC, as the claims of a token count them.
using UnixSeconds = std::int64_t;

class Clock {  // thread-safe
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
  virtual std::chrono::system_clock::time_point wall() const = 0;

  UnixSeconds unix_seconds() const {
    return std::chrono::floor<std::chrono::seconds>(wall()).time_since_epoch().count();
  }
};

class SystemClock final : public Clock {
 public:
  Time now() const override { return std::chrono::steady_clock::now(); }
  std::chrono::system_clock::time_point wall() const override { return std::chrono::system_clock::now(); }
};

}  // namespace rt
