// Counts what arrives at many clients that are all sent the same: how many, how late, and whether everybody got it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/client.h"

namespace rt::load {

class DeliveryMeter final : public ClientEvents {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit DeliveryMeter(std::size_t receivers) : received_by_(receivers) {}

  void begin_run(std::size_t deliveries);
  void begin_round(TimePoint sent_at) { sent_at_ = sent_at; }
  std::size_t received() const { return received_; }  // in this run

  // That each receiver got exactly so many in this run.
  Result<void> check_each(std::size_t messages) const;
  double latency_us(double quantile);  // of this run

  // The first frame that ever arrived. All others have to be as long.
  const std::string& sample() const { return sample_; }

  void on_frame(Client& client, const Frame& frame) override;

 private:
  std::string sample_;
  std::vector<std::uint32_t> received_by_;
  std::vector<std::uint32_t> latencies_ns_;
  std::size_t received_ = 0;
  TimePoint sent_at_;
};

}  // namespace rt::load
