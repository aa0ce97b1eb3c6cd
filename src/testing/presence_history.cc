#include "testing/presence_history.h"

#include <random>
#include <vector>

#include "testing/simulated_cluster.h"

namespace rt {
namespace {

using Random = SimulatedCluster::Random;
using std::chrono::milliseconds;
using std::chrono::seconds;

Weather random_weather(Random& random) {
  Weather weather;
  if (random() % 4 == 0) return weather;
  weather.loss = random() % 2 == 0 ? 0 : static_cast<unsigned>(random() % 400);
  weather.duplication = random() % 2 == 0 ? 0 : static_cast<unsigned>(random() % 300);
  weather.truncation = random() % 4 == 0 ? 100 : 0;
  weather.replay = random() % 2 == 0 ? 0 : static_cast<unsigned>(random() % 300);
  weather.noise = random() % 4 == 0 ? 50 : 0;
  weather.delay_max = milliseconds(random() % 2 == 0 ? 20 : random() % 3'000);
  return weather;
}

SimulatedClusterConfig random_config(Random& random) {
  SimulatedClusterConfig config;
  config.nodes = 3 + random() % 5;
  config.has_late_ticks = random() % 2 == 0;
  config.presence.message_bytes_max = random() % 3 == 0 ? 480 * 1024 : 100 + random() % 900;
  config.presence.pulls_max = 1 + random() % 4;
  config.presence.gap_grace = milliseconds(random() % 2 == 0 ? 300 : 0);
  config.presence.cloud_ranges_max = random() % 4 == 0 ? 3 : 4'096;
  config.bus_bytes_max = random() % 3 == 0 ? bus::kBusBytesMax : 200 + random() % 800;
  return config;
}

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed), cluster_(random_config(random_), random_) {}

  HistoryOutcome run() {
    const std::uint64_t scenes = 3 + random_() % 8;
    for (std::uint64_t scene = 0; scene < scenes && cluster_.violation().empty(); ++scene) play_scene();
    recover();
    const bool has_converged = cluster_.converge_within(seconds(60));
    std::string fault = cluster_.violation();
    if (fault.empty() && !has_converged) fault = "they do not agree\n" + cluster_.describe();
    return {std::move(fault), cluster_.messages(), events_};
  }

 private:
  std::size_t any_node() { return random_() % cluster_.size(); }
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  // The network and the nodes as they are for some seconds, in which clients come and go.
  void play_scene() {
    change_fate();
    const std::uint64_t moments = 5 + random_() % 40;
    for (std::uint64_t moment = 0; moment < moments; ++moment) {
      for (std::uint64_t actions = random_() % 3; actions > 0; --actions) act();
      if (chance(3)) crowd();
      cluster_.advance(SimulatedCluster::kStep * static_cast<int>(1 + random_() % 6));
    }
  }

  void change_fate() {
    if (chance(40)) cluster_.bus().set_weather(random_weather(random_));
    if (chance(30)) cluster_.bus().heal();
    if (chance(30)) partition();
    if (chance(15)) cluster_.bus().cut(any_node(), any_node());
    const std::size_t node = any_node();
    if (!cluster_.is_alive(node)) {
      if (chance(70)) restart(node);
      return;
    }
    if (chance(20))
      cluster_.crash(node);
    else if (chance(15))
      restart(node);
    else if (!cluster_.is_awake(node))
      cluster_.resume(node);
    else if (chance(15))
      cluster_.pause(node);
    else if (chance(15))
      cluster_.jump_clock(node, seconds(static_cast<int>(random_() % 7'200) - 3'600));
  }

  void restart(std::size_t node) {
    cluster_.restart(node, chance(20) ? SimulatedCluster::WallClock::kWentBack : SimulatedCluster::WallClock::kRight);
  }

  // Two sides that do not hear each other.
  void partition() {
    const std::uint64_t sides = random_();
    for (std::size_t from = 0; from < cluster_.size(); ++from)
      for (std::size_t to = 0; to < cluster_.size(); ++to)
        if ((sides >> from & 1) != (sides >> to & 1)) cluster_.bus().cut(from, to);
  }

  void act() {
    ++events_;
    const std::uint64_t action = random_() % 8;
    if (clients_.empty() || action < 3) return join(any_node());
    const std::size_t chosen = random_() % clients_.size();
    if (action < 5) return cluster_.update(clients_[chosen]);
    cluster_.leave(clients_[chosen]);
  }

  void join(std::size_t node) {
    if (!cluster_.is_awake(node)) return;
    const std::string topic = "room-" + std::to_string(random_() % 3);
    const std::string key = "key-" + std::to_string(random_() % 6);
    clients_.push_back(cluster_.join(node, topic, key, chance(5) ? random_() % 2'000 : 0));
  }

  void crowd() {
    const std::size_t node = any_node();
    for (std::uint64_t i = random_() % 30; i > 0; --i) join(node);
  }

  void recover() {
    cluster_.bus().heal();
    cluster_.bus().set_weather({});
    for (std::size_t node = 0; node < cluster_.size(); ++node) {
      cluster_.resume(node);
      if (!cluster_.is_alive(node) && chance(50)) restart(node);
    }
  }

  Random random_;
  SimulatedCluster cluster_;
  std::vector<std::uint64_t> clients_;
  std::uint64_t events_ = 0;
};

}  // namespace

HistoryOutcome run_presence_history(std::uint64_t seed) { return History(seed).run(); }

}  // namespace rt
