#include "testing/simulated_cluster.h"

#include <doctest/doctest.h>

#include <chrono>

#include "testing/presence_history.h"

namespace rt {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Cluster : SimulatedCluster {
  explicit Cluster(const SimulatedClusterConfig& config = {}) : SimulatedCluster(config, random) {}
  ~Cluster() { CHECK(violation() == ""); }
  Cluster(const Cluster&) = delete;

  std::string keys(std::size_t node) const {
    std::string text;
    for (const auto& [key, payload, ref] : members(node, "room")) text += (text.empty() ? "" : " ") + key;
    return text;
  }
  // The network between node 0 and the others.
  void isolate_first() {
    for (std::size_t node = 1; node < size(); ++node) {
      bus().cut(0, node);
      bus().cut(node, 0);
    }
  }

  // Node 2 starts again and has some of the many messages that the state of node 1 takes.
  void let_last_begin_to_pull() {
    crash(2);
    for (int i = 0; i < 100; ++i) join(1, "room", "key-" + std::to_string(i));
    CHECK(converge_within(seconds(10)));
    restart(2);
    while (presence(2).counters().chunks_merged < 3) advance(milliseconds(100));
  }

  Random random{7};
};

SimulatedClusterConfig small_messages() {
  SimulatedClusterConfig config;
  config.presence.message_bytes_max = 500;
  return config;
}

TEST_CASE("what happens on one node is seen on all others at once") {
  Cluster cluster;
  cluster.advance(seconds(1));
  const auto ann = cluster.join(0, "room", "ann");
  cluster.join(1, "room", "bob");
  cluster.advance(milliseconds(200));
  CHECK(cluster.keys(2) == "ann bob");
  cluster.leave(ann);
  cluster.advance(milliseconds(200));
  CHECK(cluster.keys(2) == "bob");
  CHECK(cluster.presence(2).counters().deltas_merged == 3);
}

TEST_CASE("members of a lost node leave once, and are back when it heals") {
  Cluster cluster;
  cluster.join(0, "room", "ann");
  CHECK(cluster.converge_within(seconds(5)));
  cluster.isolate_first();
  cluster.advance(seconds(6));
  CHECK(cluster.keys(1).empty());
  CHECK(cluster.keys(0) == "ann");
  cluster.bus().heal();
  CHECK(cluster.converge_within(seconds(3)));
  CHECK(cluster.keys(1) == "ann");
}

TEST_CASE("members of a node that died leave, also when it starts again at once") {
  Cluster cluster;
  cluster.join(0, "room", "ann");
  CHECK(cluster.converge_within(seconds(5)));
  cluster.restart(0);
  cluster.join(0, "room", "amy");
  cluster.advance(seconds(1));
  CHECK(cluster.keys(1) == "amy");
}

TEST_CASE("a node that was away for longer than it is remembered is learnt anew") {
  Cluster cluster;
  const auto ann = cluster.join(0, "room", "ann");
  cluster.join(0, "room", "amy");
  CHECK(cluster.converge_within(seconds(5)));
  cluster.isolate_first();
  cluster.advance(seconds(30));
  CHECK(cluster.presence(1).state().size() == 0);
  cluster.leave(ann);
  cluster.bus().heal();
  CHECK(cluster.converge_within(seconds(5)));
  CHECK(cluster.keys(1) == "amy");
}

TEST_CASE("what is missing comes from the nearest peer that has it") {
  Cluster cluster({.nodes = 4});
  cluster.crash(2);
  for (int i = 0; i < 20; ++i) cluster.join(1, "room", "key-" + std::to_string(i));
  CHECK(cluster.converge_within(seconds(5)));
  const auto asked_before = cluster.presence(1).counters().pulls_answered;
  cluster.restart(2);  // in the region of node 0; those who have joined are on node 1, in that of node 3
  CHECK(cluster.converge_within(seconds(5)));
  CHECK(cluster.presence(0).counters().pulls_answered == 1);
  CHECK(cluster.presence(1).counters().pulls_answered == asked_before);
}

TEST_CASE("a large state reaches a node that joins in messages that the bus can carry, each asked for") {
  SimulatedClusterConfig config;
  config.presence.message_bytes_max = 2'000;
  config.bus_bytes_max = 2'500;
  Cluster cluster(config);
  cluster.crash(2);
  for (int i = 0; i < 200; ++i) cluster.join(0, "room", "key-" + std::to_string(i), i == 100 ? 10'000 : 100);
  CHECK(cluster.converge_within(seconds(10)));
  cluster.restart(2);
  CHECK(cluster.converge_within(seconds(10)));
  CHECK(cluster.presence(2).counters().chunks_merged > 10);
}

TEST_CASE("a node that goes down while we pull from it is replaced by the next one") {
  Cluster cluster(small_messages());
  cluster.let_last_begin_to_pull();
  CHECK(cluster.presence(0).counters().pulls_answered > 0);
  cluster.crash(0);
  CHECK(cluster.converge_within(seconds(10)));
  CHECK(cluster.presence(1).counters().pulls_answered > 0);
}

TEST_CASE("a node that starts again while its old state is under way shows its new state only") {
  Cluster cluster(small_messages());
  cluster.let_last_begin_to_pull();
  cluster.restart(1);
  cluster.join(1, "room", "new");
  CHECK(cluster.converge_within(seconds(10)));
  CHECK(cluster.keys(2) == "new");
}

TEST_CASE("a node alone sends nothing but heartbeats, and keeps nothing for anybody") {
  Cluster cluster;
  cluster.crash(1);
  cluster.crash(2);
  const auto ann = cluster.join(0, "room", "ann");
  cluster.advance(seconds(10));
  cluster.leave(ann);
  cluster.advance(seconds(10));
  CHECK(cluster.messages() <= 2 * 20);
  CHECK(cluster.presence(0).state().size() == 0);
}

TEST_CASE("a peer that is down for one node and up for another is shown by the other only, and nobody passes it on") {
  Cluster cluster;
  cluster.join(0, "room", "ann");
  CHECK(cluster.converge_within(seconds(5)));
  cluster.bus().cut(0, 1);
  cluster.advance(seconds(8));
  CHECK(cluster.keys(1).empty());
  CHECK(cluster.keys(2) == "ann");
  cluster.advance(seconds(30));
  CHECK(cluster.presence(1).state().size() == 0);
  cluster.bus().heal();
  CHECK(cluster.converge_within(seconds(5)));
}

// `./dev simulate` runs many more; here they run under the sanitizers.
TEST_CASE("whatever the network and the nodes do, all agree in the end") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const auto outcome = run_presence_history(seed);
    CAPTURE(seed);
    CHECK(outcome.fault == "");
    CHECK(outcome.messages > 0);
  }
}

TEST_CASE("a seed gives the same history each time") {
  const auto once = run_presence_history(42);
  const auto again = run_presence_history(42);
  CHECK(once.messages == again.messages);
  CHECK(once.events == again.events);
}

}  // namespace
}  // namespace rt
