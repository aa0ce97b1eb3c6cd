#include "load/delivery_meter.h"

#include <algorithm>
#include <cstdint>

namespace rt::load {
namespace {

constexpr std::size_t kTextBytesShown = 500;

}  // namespace

void DeliveryMeter::begin_run(std::size_t deliveries) {
  received_ = 0;
  std::ranges::fill(received_by_, 0);
  latencies_ns_.clear();
  latencies_ns_.reserve(deliveries);
}

Result<void> DeliveryMeter::check_each(std::size_t messages) const {
  for (std::size_t id = 0; id < received_by_.size(); ++id) {
    if (received_by_[id] != messages)
      return fail("subscriber " + std::to_string(id) + " got " + std::to_string(received_by_[id]) + " messages of " +
                  std::to_string(messages));
  }
  return {};
}

double DeliveryMeter::latency_us(double quantile) {
  if (latencies_ns_.empty()) return 0;
  const auto rank = static_cast<std::ptrdiff_t>(quantile * static_cast<double>(latencies_ns_.size() - 1));
  std::ranges::nth_element(latencies_ns_, latencies_ns_.begin() + rank);
  return latencies_ns_[static_cast<std::size_t>(rank)] / 1e3;
}

void DeliveryMeter::on_frame(Client& client, const Frame& frame) {
  if (sample_.empty()) sample_ = frame.wire;
  if (frame.wire.size() != sample_.size())
    return client.loop().fail_with("not a delivery: " + std::string(frame.payload.substr(0, kTextBytesShown)));
  ++received_;
  ++received_by_[client.id()];
  const std::int64_t late = std::chrono::nanoseconds(frame.received - sent_at_).count();
  latencies_ns_.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(late, UINT32_MAX)));
}

}  // namespace rt::load
