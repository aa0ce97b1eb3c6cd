// At most so many log lines of a kind per second: a client that provokes errors must not drown those of others.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string_view>

#include "base/clock.h"

namespace rt::realtime {

class LogThrottle {
 public:
  static constexpr int kLinesPerSecond = 20;

  // `code` is a literal: there are only as many kinds as the program knows.
  bool allows(std::string_view code, Time now) {
    Window& window = windows_[code];
    if (now - window.begin >= std::chrono::seconds(1)) window = {now, 0};
    return ++window.lines <= kLinesPerSecond;
  }

 private:
  struct Window {
    Time begin{};
    int lines = 0;
  };
  std::map<std::string_view, Window> windows_;
};

}  // namespace rt::realtime
