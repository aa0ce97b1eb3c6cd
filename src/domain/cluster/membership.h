// Which other nodes are alive, as far as this one can tell.
//
// Everybody says periodically that it lives. Who has been silent for too long is down, until it is heard again: it may
// have died or be out of reach, and nobody can tell which. A node that starts again is a new replica, with a higher
// incarnation: that ends the old one at once, and late heartbeats of the old one are ignored while the new one is
// alive. If the wall clock went back meanwhile, the incarnation is lower; then the old one has to fall silent first.
//
// Views differ: a peer may be up here and down there, and nothing is agreed upon. What builds on this has to bear it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/awake_time.h"
#include "base/random.h"
#include "model/heartbeat.h"

namespace rt::cluster {

struct MembershipConfig {
  std::string region;
  Duration heartbeat_period = std::chrono::milliseconds(1500);
  // A few heartbeats may be lost without consequence.
  Duration down_after = std::chrono::seconds(8);
  // One that is down is remembered so long, so that repeated heartbeats of its past do not wake it.
  Duration forget_after = std::chrono::minutes(20);
  std::size_t nodes_max = 1024;
};

struct PeerUp {
  ReplicaId replica;
  unsigned distance = 0;  // smaller is nearer: 1 in our region, 2 elsewhere
  bool operator==(const PeerUp&) const = default;
};

struct PeerDown {
  ReplicaId replica;
  bool operator==(const PeerDown&) const = default;
};

// It is down, and will not come back: its node has started again. May follow its PeerDown.
struct PeerReplaced {
  ReplicaId replica;
  bool operator==(const PeerReplaced&) const = default;
};

using MembershipEvent = std::variant<PeerUp, PeerDown, PeerReplaced>;

struct MembershipCounters {
  std::uint64_t late = 0;        // repeated, or overtaken by a newer one of the same node
  std::uint64_t namesakes = 0;   // of our own name: an echo, our former life, or somebody who must not be called so
  std::uint64_t over_limit = 0;  // of nodes beyond `nodes_max`
};

class Membership {
 public:
  Membership(MembershipConfig config, ReplicaId self, Time now);

  std::vector<MembershipEvent> receive(const Heartbeat& heartbeat);
  // To be called several times in each heartbeat_period.
  std::vector<MembershipEvent> tick(Time now);
  // What is to be sent to all now; nullopt: nothing yet.
  std::optional<Heartbeat> heartbeat_due();

  const MembershipCounters& counters() const { return counters_; }

 private:
  struct Node {
    std::uint64_t incarnation = 0;
    std::uint64_t sequence = 0;
    Time heard;
    bool is_up = false;
  };
  Node* node_of(const Heartbeat& heartbeat);

  const MembershipConfig config_;
  const ReplicaId self_;
  AwakeTime time_;
  Time now_;
  Time heartbeat_at_;
  std::uint64_t sequence_ = 0;
  std::map<std::uint64_t, Node> nodes_;
  MembershipCounters counters_;
};

// For a process that starts now: higher than those before it, and its own even if two start at one moment.
std::uint64_t make_incarnation(std::chrono::system_clock::time_point now, Random& random);

}  // namespace rt::cluster
