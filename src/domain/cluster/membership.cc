#include "domain/cluster/membership.h"

#include <utility>

namespace rt::cluster {

Membership::Membership(MembershipConfig config, ReplicaId self, Time now)
    : config_(std::move(config)), self_(self), time_(now, config_.heartbeat_period), now_(now), heartbeat_at_(now) {}

std::vector<MembershipEvent> Membership::receive(const Heartbeat& heartbeat) {
  std::vector<MembershipEvent> events;
  Node* const node = node_of(heartbeat);
  if (node == nullptr) return events;
  const std::uint64_t incarnation = heartbeat.sender.incarnation;
  if (node->incarnation != incarnation && node->sequence > 0)
    events.emplace_back(PeerReplaced{{heartbeat.sender.node, node->incarnation}});
  if (node->incarnation != incarnation || !node->is_up)
    events.emplace_back(PeerUp{heartbeat.sender, heartbeat.region == config_.region ? 1U : 2U});
  *node = {.incarnation = incarnation, .sequence = heartbeat.sequence, .heard = now_, .is_up = true};
  return events;
}

// Null: it proves nothing.
Membership::Node* Membership::node_of(const Heartbeat& heartbeat) {
  const ReplicaId sender = heartbeat.sender;
  if (sender.node == self_.node) {
    ++counters_.namesakes;
    return nullptr;
  }
  const auto found = nodes_.find(sender.node);
  if (found == nodes_.end()) {
    if (nodes_.size() < config_.nodes_max) return &nodes_[sender.node];
    ++counters_.over_limit;
    return nullptr;
  }
  Node& node = found->second;
  const bool is_news = sender.incarnation == node.incarnation ? heartbeat.sequence > node.sequence
                                                              : sender.incarnation > node.incarnation || !node.is_up;
  if (is_news) return &node;
  ++counters_.late;
  return nullptr;
}

std::vector<MembershipEvent> Membership::tick(Time now) {
  now_ = time_.advance(now);
  std::vector<MembershipEvent> events;
  for (auto& [id, node] : nodes_) {
    if (!node.is_up || now_ - node.heard < config_.down_after) continue;
    node.is_up = false;
    events.emplace_back(PeerDown{{id, node.incarnation}});
  }
  std::erase_if(nodes_, [this](const auto& entry) {
    return !entry.second.is_up && now_ - entry.second.heard >= config_.forget_after;
  });
  return events;
}

std::optional<Heartbeat> Membership::heartbeat_due() {
  if (now_ < heartbeat_at_) return std::nullopt;
  heartbeat_at_ = now_ + config_.heartbeat_period;
  return Heartbeat{self_, ++sequence_, config_.region};
}

// Milliseconds in the upper bits, chance in the lower ones.
std::uint64_t make_incarnation(std::chrono::system_clock::time_point now, Random& random) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count();
  return static_cast<std::uint64_t>(milliseconds) << 20 | (random.next() & 0xfffff);
}

}  // namespace rt::cluster
