// Several nodes on a simulated bus and a virtual clock, as far as membership and presence are concerned: real messages,
// encoded and decoded, between real state machines.
//
// The model they are held against is trivial: who is present is who tracked and did not leave, on the nodes that are
// alive. While a history runs, each node's members see a stream of diffs that has to make sense: nobody joins who is
// there, nobody leaves who is not, nobody comes back of whom it was heard that he has left. When the network is well
// again and some time has passed, all nodes show what the model says.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "domain/cluster/membership.h"
#include "domain/presence/replication.h"
#include "protocol/bus/fragments.h"
#include "testing/sim_bus.h"

namespace rt {

struct SimulatedClusterConfig {
  std::size_t nodes = 3;
  cluster::MembershipConfig membership = {.region = {},
                                          .heartbeat_period = std::chrono::seconds(1),
                                          .down_after = std::chrono::seconds(4),
                                          .forget_after = std::chrono::seconds(12)};
  presence::ReplicationConfig presence = {.digest_period = std::chrono::seconds(1),
                                          .pull_timeout = std::chrono::seconds(1),
                                          .forget_after = std::chrono::seconds(12)};
  std::size_t bus_bytes_max = bus::kBusBytesMax;
  // Nodes are busy now and then, and look at the clock later than they should: what they have not flushed yet may be
  // asked for meanwhile.
  bool has_late_ticks = false;
};

class SimulatedCluster {
 public:
  using Random = std::mt19937_64;
  // Key, payload and ref: sorted, what a topic shows.
  using Members = std::vector<std::tuple<std::string, std::string, std::string>>;
  static constexpr Duration kStep = std::chrono::milliseconds(100);

  // All nodes are started.
  SimulatedCluster(const SimulatedClusterConfig& config, Random& random);

  // --- clients
  // The node must be awake. Returns a name for update() and leave(), which do nothing if the client is gone, with its
  // node or before, or its node is not awake.
  std::uint64_t join(std::size_t node, const std::string& topic, const std::string& key, std::size_t payload_bytes = 0);
  void update(std::uint64_t client);
  void leave(std::uint64_t client);

  // --- fate
  SimBus& bus() { return bus_; }
  std::size_t size() const { return nodes_.size(); }
  bool is_awake(std::size_t node) const { return is_alive(node) && !nodes_[node]->is_paused; }
  bool is_alive(std::size_t node) const { return nodes_[node] != nullptr; }
  void crash(std::size_t node);
  enum class WallClock { kRight, kWentBack };
  void restart(std::size_t node, WallClock wall_clock = WallClock::kRight);
  // Its process is stopped: it neither hears nor speaks; what arrives waits.
  void pause(std::size_t node);
  void resume(std::size_t node);
  void jump_clock(std::size_t node, Duration by);

  void advance(Duration by);

  // --- what is seen
  Members members(std::size_t node, const std::string& topic) const;
  Members expected(const std::string& topic) const;
  // All nodes that are alive show what they should, and know each other's events to the last.
  bool has_converged() const;
  // Lets time pass until it has. False: it has not after `limit`.
  bool converge_within(Duration limit);
  // The first thing that must not have happened; empty: nothing.
  const std::string& violation() const { return violation_; }
  const std::set<std::string>& topics() const { return topics_; }
  // Messages that were delivered, or are under way.
  std::uint64_t messages() const { return bus_.sent(); }
  const presence::Replication& presence(std::size_t node) const { return nodes_[node]->presence; }
  // Who is who, for reading a failed history.
  std::string describe() const;

 private:
  struct Client {
    std::size_t node = 0;
    std::uint64_t clock = 0;
    std::string topic;
    std::string key;
    std::string payload;
  };
  struct Node {
    Node(const SimulatedClusterConfig& config, ReplicaId replica, const std::string& region, Time now);
    ReplicaId id;
    cluster::Membership membership;
    presence::Replication presence;
    bus::Reassembly reassembly{1 << 16};
    bool is_paused = false;
    std::vector<std::string> inbox;  // while paused
    // What its members have been told: topic -> ref -> (key, payload).
    std::map<std::string, std::map<std::string, std::pair<std::string, std::string>>> told;
    std::map<std::string, std::uint64_t> versions;
    // By replica, the clocks of those of whom it was heard that they left.
    std::map<std::uint64_t, std::set<std::uint64_t>> left;
    std::uint64_t fragments = 0;
  };
  enum class Source { kOwn, kMembership, kMessage };

  Time clock_of(std::size_t node) const { return now_ + clock_offsets_[node]; }
  void tick(std::size_t node);
  void hear(std::size_t node, const std::string& bytes);
  void apply(std::size_t node, const cluster::MembershipEvent& event);
  void tell(std::size_t node, const PresenceDiff& diff, Source source);
  void check_join(Node& node, const std::string& topic, const PresenceMeta& meta);
  void check_leave(Node& node, const std::string& topic, const PresenceMeta& meta, Source source);
  void forget_what_it_forgot(Node& node);
  void send(std::size_t from, std::optional<std::size_t> to, const bus::BusMessage& message);
  void flush(std::size_t node);
  std::optional<std::size_t> find(ReplicaId replica) const;
  void violate(const std::string& what);

  const SimulatedClusterConfig config_;
  Random& random_;
  Time now_{std::chrono::hours(1)};
  SimBus bus_;
  std::vector<std::unique_ptr<Node>> nodes_;  // null: crashed
  std::vector<Duration> clock_offsets_;
  std::vector<std::uint64_t> incarnations_;
  std::uint64_t wall_ = 1'000;
  std::map<std::uint64_t, Client> clients_;
  std::uint64_t clients_ever_ = 0;
  std::uint64_t payloads_ever_ = 0;
  std::map<std::uint64_t, ReplicaId> replica_of_hash_;
  std::set<std::string> topics_;
  std::string violation_;
};

}  // namespace rt
