// Subscribers and one publisher that sends at a steady pace. Whatever goes on around them, they get
// everything once and in order. How late is measured for each delivery, from the publisher's send() to the moment when
// the kernel has the bytes for the subscriber: when this process gets to read them is the business of its core, which
// it shares with the attackers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "load/client.h"
#include "load/client_loop.h"
#include "load/crowd.h"
#include "load/server_process.h"

namespace rt::load {

struct Lateness {
  double p50_us = 0;
  double p99_us = 0;
  double max_us = 0;
};

struct Pace {
  std::size_t subscribers = 100;
  std::chrono::milliseconds interval{10};  // between two messages
};

class WellBehaved final : public ClientEvents {
 public:
  WellBehaved(ClientLoop& loop, const ServerProcess& server, const Pace& pace = {});

  Result<void> join();
  // Returns when everybody has got all messages. The error names the first one that was lost, doubled or out of order.
  Result<Lateness> measure(std::size_t messages);

  void on_frame(Client& client, const Frame& frame) override;

 private:
  using TimePoint = std::chrono::system_clock::time_point;  // of the kernel's stamps

  Result<void> send_all(std::size_t messages);
  bool has_arrived() const { return lateness_ns_.size() == pace_.subscribers * sent_at_.size(); }
  Lateness lateness();

  ClientLoop& loop_;
  const Pace pace_;
  Crowd subscribers_;
  Crowd publishers_;  // one
  std::vector<TimePoint> sent_at_;
  std::vector<std::size_t> received_by_;
  std::vector<std::uint32_t> lateness_ns_;
};

}  // namespace rt::load
