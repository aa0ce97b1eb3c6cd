#include "domain/cluster/membership.h"

#include <doctest/doctest.h>

#include "testing/manual_clock.h"

namespace rt::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Events = std::vector<MembershipEvent>;

constexpr ReplicaId kSelf{1, 100};
constexpr ReplicaId kPeer{2, 100};

struct Node {
  explicit Node(MembershipConfig config = {.region = "north"}) : membership(std::move(config), kSelf, clock.now()) {}

  Events hear(ReplicaId sender, std::uint64_t sequence, const std::string& region = "north") {
    return membership.receive({sender, sequence, region});
  }
  // As a loop does it, in small steps.
  Events pass(Duration time) {
    Events all;
    for (; time > Duration::zero(); time -= milliseconds(500)) {
      clock.advance(milliseconds(500));
      for (auto& event : membership.tick(clock.now())) all.push_back(event);
    }
    return all;
  }

  ManualClock clock;
  Membership membership;
};

TEST_CASE("a node is up when it is first heard, and near if it is in our region") {
  Node node;
  CHECK(node.hear(kPeer, 1) == Events{PeerUp{kPeer, 1}});
  CHECK(node.hear(kPeer, 2).empty());
  CHECK(node.hear({3, 100}, 1, "south") == Events{PeerUp{{3, 100}, 2}});
}

TEST_CASE("a node that is silent for too long is down until it is heard again") {
  Node node;
  node.hear(kPeer, 1);
  CHECK(node.pass(milliseconds(7'500)).empty());
  CHECK(node.pass(milliseconds(500)) == Events{PeerDown{kPeer}});
  CHECK(node.pass(seconds(8)).empty());
  CHECK(node.hear(kPeer, 6) == Events{PeerUp{kPeer, 1}});
}

TEST_CASE("a node that has started again is another one, and its old life is over at once") {
  Node node;
  node.hear(kPeer, 9);
  const ReplicaId next{2, 101};
  CHECK(node.hear(next, 1) == Events{PeerReplaced{kPeer}, PeerUp{next, 1}});
  CHECK(node.hear(kPeer, 10).empty());
  CHECK(node.membership.counters().late == 1);
}

TEST_CASE("a node whose wall clock went back while it started again is heard once its old life is silent") {
  Node node;
  node.hear(kPeer, 9);
  const ReplicaId next{2, 99};
  CHECK(node.hear(next, 1).empty());
  node.pass(seconds(8));
  CHECK(node.hear(next, 6) == Events{PeerReplaced{kPeer}, PeerUp{next, 1}});
}

TEST_CASE("heartbeats that are repeated keep nobody alive and wake nobody") {
  Node node;
  node.hear(kPeer, 3);
  node.pass(seconds(6));
  CHECK(node.hear(kPeer, 3).empty());
  CHECK(node.pass(seconds(2)) == Events{PeerDown{kPeer}});
  CHECK(node.hear(kPeer, 2).empty());
  CHECK(node.hear(kPeer, 3).empty());
  CHECK(node.membership.counters().late == 3);
}

TEST_CASE("a process that was stopped does not take its peers for dead when it wakes up") {
  Node node;
  node.hear(kPeer, 1);
  node.clock.advance(std::chrono::hours(1));
  CHECK(node.membership.tick(node.clock.now()).empty());
  node.clock.advance(-std::chrono::hours(2));
  CHECK(node.membership.tick(node.clock.now()).empty());
  CHECK(node.pass(seconds(8)) == Events{PeerDown{kPeer}});
}

TEST_CASE("heartbeats go out at once and then periodically") {
  Node node;
  CHECK(node.membership.heartbeat_due() == Heartbeat{kSelf, 1, "north"});
  CHECK(!node.membership.heartbeat_due());
  node.pass(milliseconds(1'000));
  CHECK(!node.membership.heartbeat_due());
  node.pass(milliseconds(500));
  CHECK(node.membership.heartbeat_due() == Heartbeat{kSelf, 2, "north"});
}

TEST_CASE("who bears our own name is no peer") {
  Node node;
  CHECK(node.hear(kSelf, 1).empty());
  CHECK(node.hear({1, 200}, 1).empty());
  CHECK(node.membership.counters().namesakes == 2);
}

TEST_CASE("strangers beyond the limit are ignored, and make room when they are long gone") {
  Node node({.region = "north", .nodes_max = 2});
  node.hear({2, 1}, 1);
  node.hear({3, 1}, 1);
  CHECK(node.hear({4, 1}, 1).empty());
  CHECK(node.membership.counters().over_limit == 1);
  node.pass(std::chrono::minutes(20));
  CHECK(node.hear({4, 1}, 2) == Events{PeerUp{{4, 1}, 1}});
}

TEST_CASE("a later incarnation is higher, and two of one moment differ") {
  SystemRandom random;
  const ManualClock clock;
  const auto now = clock.wall();
  CHECK(make_incarnation(now, random) < make_incarnation(now + milliseconds(1), random));
  CHECK(make_incarnation(now, random) != make_incarnation(now, random));
}

}  // namespace
}  // namespace rt::cluster
