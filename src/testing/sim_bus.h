// A bus on which anything may happen to a message: lost, repeated, delayed, overtaken, cut off, kept and sent again
// much later, or made up. What happens follows from the seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace rt {

struct Weather {
  // Chances in thousandths, for each message and receiver.
  unsigned loss = 0;
  unsigned duplication = 0;
  unsigned truncation = 0;  // it arrives, and once more in part
  unsigned replay = 0;      // an old one arrives as well
  unsigned noise = 0;       // random bytes arrive as well
  Duration delay_min = std::chrono::milliseconds(1);
  Duration delay_max = std::chrono::milliseconds(5);
};

class SimBus {
 public:
  using Random = std::mt19937_64;
  struct Delivery {
    std::size_t to = 0;
    std::string bytes;
  };

  // Attached to `nodes` nodes, who are numbered from 0.
  SimBus(std::size_t nodes, Random& random) : nodes_(nodes), random_(random) {}

  void set_weather(const Weather& weather) { weather_ = weather; }
  // One direction only.
  void cut(std::size_t from, std::size_t to) { cuts_.insert({from, to}); }
  void heal() { cuts_.clear(); }

  // nullopt: to all others.
  void send(std::size_t from, std::optional<std::size_t> to, const std::string& bytes, Time now);
  // The next one that has arrived by now.
  std::optional<Delivery> deliver(Time now);

  std::uint64_t sent() const { return sent_; }

 private:
  void send_one(std::size_t from, std::size_t to, const std::string& bytes, Time now);
  void post(std::size_t to, std::string bytes, Time now);
  bool happens(unsigned thousandths) { return thousandths > 0 && random_() % 1'000 < thousandths; }

  const std::size_t nodes_;
  Random& random_;
  Weather weather_;
  std::set<std::pair<std::size_t, std::size_t>> cuts_;
  std::map<std::pair<Time, std::uint64_t>, Delivery> under_way_;
  std::deque<Delivery> past_;
  std::uint64_t sent_ = 0;
};

}  // namespace rt
