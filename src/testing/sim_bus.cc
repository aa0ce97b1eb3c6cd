#include "testing/sim_bus.h"

namespace rt {

void SimBus::send(std::size_t from, std::optional<std::size_t> to, const std::string& bytes, Time now) {
  if (to) {
    send_one(from, *to, bytes, now);
    return;
  }
  for (std::size_t node = 0; node < nodes_; ++node)
    if (node != from) send_one(from, node, bytes, now);
}

void SimBus::send_one(std::size_t from, std::size_t to, const std::string& bytes, Time now) {
  constexpr std::size_t kPastMax = 64;
  if (cuts_.contains({from, to}) || happens(weather_.loss)) return;
  post(to, bytes, now);
  if (happens(weather_.duplication)) post(to, bytes, now);
  if (happens(weather_.truncation)) post(to, bytes.substr(0, random_() % bytes.size()), now);
  if (happens(weather_.noise)) {
    std::string noise(random_() % 40, '\0');
    for (char& byte : noise) byte = static_cast<char>(random_());
    post(to, noise, now);
  }
  if (weather_.replay == 0) return;
  if (!past_.empty() && happens(weather_.replay)) {
    const Delivery& old = past_[random_() % past_.size()];
    post(old.to, old.bytes, now);
  }
  if (random_() % 8 == 0) past_.push_back({to, bytes});
  if (past_.size() > kPastMax) past_.pop_front();
}

void SimBus::post(std::size_t to, std::string bytes, Time now) {
  const auto range = static_cast<std::uint64_t>((weather_.delay_max - weather_.delay_min).count()) + 1;
  const Time arrival = now + weather_.delay_min + Duration(static_cast<Duration::rep>(random_() % range));
  under_way_[{arrival, ++sent_}] = {to, std::move(bytes)};
}

std::optional<SimBus::Delivery> SimBus::deliver(Time now) {
  if (under_way_.empty() || under_way_.begin()->first.first > now) return std::nullopt;
  Delivery delivery = std::move(under_way_.begin()->second);
  under_way_.erase(under_way_.begin());
  return delivery;
}

}  // namespace rt
