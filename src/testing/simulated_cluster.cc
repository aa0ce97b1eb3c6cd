#include "testing/simulated_cluster.h"

#include <algorithm>
#include <utility>

namespace rt {

SimulatedCluster::Node::Node(const SimulatedClusterConfig& config, ReplicaId replica, const std::string& region,
                             Time now)
    : id(replica),
      membership(
          [&] {
            auto membership_config = config.membership;
            membership_config.region = region;
            return membership_config;
          }(),
          replica, now),
      presence(config.presence, replica, now) {}

SimulatedCluster::SimulatedCluster(const SimulatedClusterConfig& config, Random& random)
    : config_(config),
      random_(random),
      bus_(config.nodes, random),
      nodes_(config.nodes),
      clock_offsets_(config.nodes),
      incarnations_(config.nodes) {
  for (std::size_t node = 0; node < config.nodes; ++node) restart(node);
}

// --- clients

std::uint64_t SimulatedCluster::join(std::size_t node, const std::string& topic, const std::string& key,
                                     std::size_t payload_bytes) {
  topics_.insert(topic);
  std::string payload = std::to_string(++payloads_ever_);
  payload.resize(std::max(payload.size(), payload_bytes), '.');
  const auto tracked = nodes_[node]->presence.join(topic, key, PresencePayload(payload));
  for (const auto& meta : tracked.diff.at(topic).joins) replica_of_hash_[meta.ref.replica] = nodes_[node]->id;
  clients_[++clients_ever_] = {node, tracked.clock, topic, key, std::move(payload)};
  tell(node, tracked.diff, Source::kOwn);
  return clients_ever_;
}

void SimulatedCluster::update(std::uint64_t name) {
  const auto client = clients_.find(name);
  if (client == clients_.end() || !is_awake(client->second.node)) return;
  client->second.payload = std::to_string(++payloads_ever_);
  const auto tracked =
      nodes_[client->second.node]->presence.update(client->second.clock, PresencePayload(client->second.payload));
  client->second.clock = tracked.clock;
  tell(client->second.node, tracked.diff, Source::kOwn);
}

void SimulatedCluster::leave(std::uint64_t name) {
  const auto client = clients_.find(name);
  if (client == clients_.end() || !is_awake(client->second.node)) return;
  const std::size_t node = client->second.node;
  const auto diff = nodes_[node]->presence.leave(client->second.clock);
  clients_.erase(client);
  if (diff.empty()) violate("a client could not leave");
  tell(node, diff, Source::kOwn);
}

// --- fate

void SimulatedCluster::crash(std::size_t node) {
  nodes_[node].reset();
  std::erase_if(clients_, [node](const auto& client) { return client.second.node == node; });
}

void SimulatedCluster::restart(std::size_t node, WallClock wall_clock) {
  if (is_alive(node)) crash(node);
  std::uint64_t& incarnation = incarnations_[node];
  wall_ += 1'000;
  incarnation = wall_clock == WallClock::kRight ? wall_ : incarnation - 1;  // never one that was there
  const ReplicaId id{node + 1, incarnation};
  nodes_[node] = std::make_unique<Node>(config_, id, node % 2 == 0 ? "north" : "south", clock_of(node));
}

void SimulatedCluster::pause(std::size_t node) { nodes_[node]->is_paused = true; }

void SimulatedCluster::resume(std::size_t node) {
  if (!is_alive(node) || !std::exchange(nodes_[node]->is_paused, false)) return;
  for (const std::string& bytes : std::exchange(nodes_[node]->inbox, {})) hear(node, bytes);
}

void SimulatedCluster::jump_clock(std::size_t node, Duration by) { clock_offsets_[node] += by; }

void SimulatedCluster::advance(Duration by) {
  for (const Time end = now_ + by; now_ < end;) {
    now_ += kStep;
    while (const auto delivery = bus_.deliver(now_)) {
      if (!is_alive(delivery->to)) continue;
      if (nodes_[delivery->to]->is_paused)
        nodes_[delivery->to]->inbox.push_back(delivery->bytes);
      else
        hear(delivery->to, delivery->bytes);
    }
    for (std::size_t node = 0; node < nodes_.size(); ++node)
      if (is_alive(node) && !nodes_[node]->is_paused) tick(node);
  }
}

void SimulatedCluster::tick(std::size_t number) {
  if (config_.has_late_ticks && random_() % 3 == 0) return;
  Node& node = *nodes_[number];
  for (const auto& event : node.membership.tick(clock_of(number))) apply(number, event);
  node.presence.tick(clock_of(number));
  forget_what_it_forgot(node);
  if (const auto heartbeat = node.membership.heartbeat_due()) send(number, std::nullopt, *heartbeat);
  flush(number);
}

void SimulatedCluster::hear(std::size_t number, const std::string& bytes) {
  Node& node = *nodes_[number];
  auto message = bus::decode(bytes);
  if (!message) return;
  if (auto* const fragment = std::get_if<bus::Fragment>(&*message)) {
    if (const auto whole = node.reassembly.add(std::move(*fragment))) hear(number, *whole);
    return;
  }
  if (const auto* const heartbeat = std::get_if<Heartbeat>(&*message)) {
    for (const auto& event : node.membership.receive(*heartbeat)) apply(number, event);
    return;
  }
  const auto receive = [&](const auto& kind) {
    if constexpr (std::is_constructible_v<PresenceMessage, decltype(kind)>)
      tell(number, node.presence.receive(PresenceMessage(kind)), Source::kMessage);
  };
  std::visit(receive, *message);
  flush(number);
}

void SimulatedCluster::apply(std::size_t number, const cluster::MembershipEvent& event) {
  Node& node = *nodes_[number];
  PresenceDiff diff;
  if (const auto* const up = std::get_if<cluster::PeerUp>(&event))
    diff = node.presence.peer_up(up->replica, up->distance);
  if (const auto* const down = std::get_if<cluster::PeerDown>(&event)) diff = node.presence.peer_down(down->replica);
  if (const auto* const replaced = std::get_if<cluster::PeerReplaced>(&event))
    diff = node.presence.peer_replaced(replaced->replica);
  tell(number, diff, Source::kMembership);
  forget_what_it_forgot(node);
}

void SimulatedCluster::flush(std::size_t number) {
  for (const auto& outgoing : nodes_[number]->presence.take_outgoing()) {
    const std::optional<std::size_t> to = outgoing.receiver ? find(*outgoing.receiver) : std::nullopt;
    if (outgoing.receiver && !to) continue;  // it is dead
    std::visit([&](const auto& kind) { send(number, to, bus::BusMessage(kind)); }, outgoing.message);
  }
}

void SimulatedCluster::send(std::size_t from, std::optional<std::size_t> to, const bus::BusMessage& message) {
  Node& node = *nodes_[from];
  for (const std::string& bytes : bus::split(bus::encode(message), node.id, ++node.fragments, config_.bus_bytes_max)) {
    if (bytes.size() > config_.bus_bytes_max) violate("a message is too long for the bus");
    bus_.send(from, to, bytes, now_);
  }
}

// --- checks

void SimulatedCluster::tell(std::size_t number, const PresenceDiff& diff, Source source) {
  Node& node = *nodes_[number];
  for (const auto& [topic, change] : diff) {
    if (change.joins.empty() && change.leaves.empty()) violate("a diff tells nothing of " + topic);
    const std::uint64_t version = node.presence.state().version(topic);
    if (std::exchange(node.versions[topic], version) == version) violate("a topic has changed, its version not");
    for (const auto& meta : change.joins) check_join(node, topic, meta);
    for (const auto& meta : change.leaves) check_leave(node, topic, meta, source);
  }
}

void SimulatedCluster::check_join(Node& node, const std::string& topic, const PresenceMeta& meta) {
  if (!node.told[topic].emplace(meta.ref.text(), std::pair(meta.key, std::string(meta.payload.view()))).second)
    violate(meta.key + " joins, and was there");
  const auto left = node.left.find(meta.ref.replica);
  if (left != node.left.end() && left->second.contains(meta.ref.clock)) violate(meta.key + " is back from the dead");
}

void SimulatedCluster::check_leave(Node& node, const std::string& topic, const PresenceMeta& meta, Source source) {
  const auto& told = node.told[topic];
  const auto found = told.find(meta.ref.text());
  if (found == told.end() || found->second != std::pair(meta.key, std::string(meta.payload.view())))
    violate(meta.key + " leaves, and was not there");
  node.told[topic].erase(meta.ref.text());
  if (source != Source::kMembership) node.left[meta.ref.replica].insert(meta.ref.clock);
}

void SimulatedCluster::forget_what_it_forgot(Node& node) {
  std::erase_if(node.left, [&](const auto& left) {
    return node.presence.state().dots(replica_of_hash_.at(left.first)) == nullptr;
  });
}

SimulatedCluster::Members SimulatedCluster::members(std::size_t node, const std::string& topic) const {
  Members members;
  for (const auto& meta : nodes_[node]->presence.state().list(topic))
    members.emplace_back(meta.key, meta.payload.view(), meta.ref.text());
  std::ranges::sort(members);
  return members;
}

SimulatedCluster::Members SimulatedCluster::expected(const std::string& topic) const {
  Members members;
  for (const auto& [name, client] : clients_) {
    if (client.topic != topic) continue;
    const auto hash = std::ranges::find(replica_of_hash_, nodes_[client.node]->id,
                                        &std::map<std::uint64_t, ReplicaId>::value_type::second);
    members.emplace_back(client.key, client.payload, PresenceRef{hash->first, client.clock}.text());
  }
  std::ranges::sort(members);
  return members;
}

bool SimulatedCluster::has_converged() const {
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    if (!is_alive(node)) continue;
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
      if (!is_alive(other)) continue;
      const auto* const dots = nodes_[node]->presence.state().dots(nodes_[other]->id);
      if (dots == nullptr || dots->prefix() != nodes_[other]->presence.state().clock()) return false;
    }
  }
  for (const std::string& topic : topics_) {
    const Members all = expected(topic);
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      if (!is_alive(node)) continue;
      if (members(node, topic) != all) return false;
      Members told;
      const auto found = nodes_[node]->told.find(topic);
      if (found != nodes_[node]->told.end())
        for (const auto& [ref, member] : found->second) told.emplace_back(member.first, member.second, ref);
      std::ranges::sort(told);
      if (told != all) return false;
    }
  }
  return true;
}

bool SimulatedCluster::converge_within(Duration limit) {
  for (const Time end = now_ + limit; now_ < end;) {
    advance(std::chrono::milliseconds(500));
    if (has_converged()) return true;
  }
  return false;
}

std::string SimulatedCluster::describe() const {
  std::string text;
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    text += "node " + std::to_string(node) + (is_alive(node) ? "" : " is dead") + "\n";
    if (!is_alive(node)) continue;
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
      if (!is_alive(other)) continue;
      const auto* const dots = nodes_[node]->presence.state().dots(nodes_[other]->id);
      text += "  knows " + (dots == nullptr ? "nothing" : std::to_string(dots->prefix())) + " of " +
              std::to_string(nodes_[other]->presence.state().clock()) + " of node " + std::to_string(other) + "\n";
    }
    for (const std::string& topic : topics_) {
      text += "  " + topic + ":";
      for (const auto& [key, payload, ref] : members(node, topic)) text += " " + key + "=" + payload;
      text += "\n";
    }
  }
  for (const std::string& topic : topics_) {
    text += "expected in " + topic + ":";
    for (const auto& [key, payload, ref] : expected(topic)) text += " " + key + "=" + payload;
    text += "\n";
  }
  return text;
}

std::optional<std::size_t> SimulatedCluster::find(ReplicaId replica) const {
  for (std::size_t node = 0; node < nodes_.size(); ++node)
    if (is_alive(node) && nodes_[node]->id == replica) return node;
  return std::nullopt;
}

void SimulatedCluster::violate(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

}  // namespace rt
