#include "load/well_behaved.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <string_view>

namespace rt::load {
namespace {

constexpr const char* kTopic = "realtime:good";
constexpr std::string_view kEnd = R"("}}])";  // behind the number
constexpr std::size_t kDigits = 8;
constexpr std::size_t kTextBytesShown = 500;

std::string numbered_message(std::size_t number) {
  char text[160];
  const int bytes = std::snprintf(
      text, sizeof(text), R"(["1","9","%s","broadcast",{"type":"broadcast","event":"tick","payload":{"n":"%0*zu"}}])",
      kTopic, static_cast<int>(kDigits), number);
  return {text, static_cast<std::size_t>(bytes)};
}

// SIZE_MAX where there is none.
std::size_t number_of(std::string_view message) {
  std::size_t number = std::numeric_limits<std::size_t>::max();
  if (!message.ends_with(kEnd) || message.size() < kEnd.size() + kDigits) return number;
  const char* digits = message.data() + message.size() - kEnd.size() - kDigits;
  std::from_chars(digits, digits + kDigits, number);
  return number;
}

}  // namespace

WellBehaved::WellBehaved(ClientLoop& loop, const ServerProcess& server, const Pace& pace)
    : loop_(loop),
      pace_(pace),
      subscribers_(loop, server.port(), server.handshake()),
      publishers_(loop, server.port(), server.handshake()) {}

Result<void> WellBehaved::join() {
  const auto topic = [](std::size_t) { return Crowd::Topics{kTopic}; };
  if (const auto added = subscribers_.add(pace_.subscribers, topic); !added) return added;
  if (const auto added = publishers_.add(1, topic); !added) return added;
  subscribers_.tell(*this);
  for (std::size_t i = 0; i < pace_.subscribers; ++i) {
    if (const auto stamped = subscribers_[i].stamp_arrivals(); !stamped) return stamped;
  }
  return {};
}

Result<Lateness> WellBehaved::measure(std::size_t messages) {
  sent_at_.clear();
  sent_at_.reserve(messages);
  received_by_.assign(pace_.subscribers, 0);
  lateness_ns_.clear();
  lateness_ns_.reserve(pace_.subscribers * messages);
  if (const auto sent = send_all(messages); !sent) return tl::make_unexpected(sent.error());
  if (const auto all = loop_.run_until([this] { return has_arrived(); }, "the last messages"); !all)
    return tl::make_unexpected(all.error());
  return lateness();
}

Result<void> WellBehaved::send_all(std::size_t messages) {
  for (auto next = std::chrono::steady_clock::now(); sent_at_.size() < messages; next += pace_.interval) {
    const std::string message = numbered_message(sent_at_.size());
    sent_at_.push_back(TimePoint::clock::now());
    publishers_[0].send_text(message);
    if (const auto ran = loop_.run_to(next + pace_.interval); !ran) return ran;
  }
  return {};
}

void WellBehaved::on_frame(Client& client, const Frame& frame) {
  std::size_t& expected = received_by_[client.id()];
  if (number_of(frame.payload) != expected || expected >= sent_at_.size())
    return loop_.fail_with("subscriber " + std::to_string(client.id()) + " expected message " +
                           std::to_string(expected) + " and got " +
                           std::string(frame.payload.substr(0, kTextBytesShown)));
  const std::int64_t late = std::chrono::nanoseconds(frame.arrived - sent_at_[expected]).count();

  if (late < 0) return loop_.fail_with("the system's clock was set back");
  lateness_ns_.push_back(
      static_cast<std::uint32_t>(std::min<std::int64_t>(late, std::numeric_limits<std::uint32_t>::max())));
  ++expected;
}

Lateness WellBehaved::lateness() {
  std::ranges::sort(lateness_ns_);
  const auto at = [&](double quantile) {
    return lateness_ns_[static_cast<std::size_t>(quantile * static_cast<double>(lateness_ns_.size() - 1))] / 1e3;
  };
  return {.p50_us = at(0.5), .p99_us = at(0.99), .max_us = at(1)};
}

}  // namespace rt::load
