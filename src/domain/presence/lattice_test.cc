// What makes it a CRDT, on random histories: the order, grouping and repetition of what is merged do not matter.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "domain/presence/state.h"

namespace rt::presence {
namespace {

using Random = std::mt19937_64;
// What is known of the replicas, as far as it can be seen.
using Picture = std::map<ReplicaId, std::pair<std::vector<std::string>, std::uint64_t>>;
using Part = std::variant<PresenceDelta, PresenceChunk>;

constexpr ReplicaId kReplicas[] = {{1, 1}, {2, 1}, {3, 1}};

// The histories of three replicas, as deltas without gaps and as chunks made at several moments.
struct Histories {
  explicit Histories(Random& random) {
    for (const ReplicaId id : kReplicas) record(id, random);
  }

  void record(ReplicaId id, Random& random) {
    PresenceState state(id);
    std::vector<std::uint64_t> live;
    std::uint64_t flushed = 0;
    std::vector<PresenceState::End> ends;
    const auto payload = [&] { return PresencePayload(std::to_string(random() % 1'000)); };
    const int steps = 3 + static_cast<int>(random() % 20);
    for (int step = 0; step < steps; ++step) {
      const std::size_t chosen = live.empty() ? 0 : random() % live.size();
      const auto action = live.empty() ? 0 : random() % 4;
      if (action < 2) {
        live.push_back(state.join("room", std::string(1, static_cast<char>('a' + random() % 4)), payload()).clock);
      } else if (action == 2) {
        ends.push_back({state.clock() + 1, live[chosen]});
        live[chosen] = state.update(live[chosen], payload()).clock;
      } else {
        ends.push_back({state.clock() + 1, live[chosen]});
        state.leave(live[chosen]);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(chosen));
      }
      if (random() % 3 == 0 || step + 1 == steps)
        while (flushed < state.clock()) {
          const auto first = std::ranges::upper_bound(ends, flushed, {}, &PresenceState::End::clock);
          deltas.push_back(state.delta(flushed, {first, ends.end()}, random() % 400));
          flushed = deltas.back().to;
          parts.emplace_back(deltas.back());
        }
      if (random() % 5 == 0 || step + 1 == steps) add_chunks(state, id, random);
    }
    for (const PresenceMeta& meta : state.list("room"))
      truth[id].first.push_back(meta.ref.text().append(meta.payload.view()));
    std::ranges::sort(truth[id].first);
    truth[id].second = state.clock();
  }

  void add_chunks(const PresenceState& state, ReplicaId id, Random& random) {
    PresencePull pull;
    pull.replica = id;
    const std::size_t bytes_max = random() % 500;
    while (const auto chunk = state.chunk(pull, bytes_max)) {
      parts.emplace_back(*chunk);
      pull.after = chunk->through;
      pull.top = chunk->top;
    }
  }

  std::vector<PresenceDelta> deltas;
  std::vector<Part> parts;
  Picture truth;
};

struct Observer {
  Observer() {
    for (const ReplicaId id : kReplicas) state.replica_up(id);
  }
  // Its members by replica, for which all but one are hidden in turn.
  Picture picture() {
    Picture picture;
    for (const ReplicaId id : kReplicas) state.replica_down(id);
    for (const ReplicaId id : kReplicas) {
      state.replica_up(id);
      for (const PresenceMeta& meta : state.list("room"))
        picture[id].first.push_back(meta.ref.text().append(meta.payload.view()));
      std::ranges::sort(picture[id].first);
      picture[id].second = state.dots(id)->prefix();
      state.replica_down(id);
    }
    for (const ReplicaId id : kReplicas) state.replica_up(id);
    return picture;
  }
  void merge(const Part& part) {
    std::visit([this](const auto& kind) { note(state.merge(kind)); }, part);
  }
  // Nobody who left may join again.
  void note(const PresenceDiff& diff) {
    for (const auto& [topic, change] : diff) {
      for (const auto& meta : change.joins) CHECK(!left.contains(meta.ref.text()));
      for (const auto& meta : change.leaves) left[meta.ref.text()] = true;
    }
  }
  // All that another one knows without gaps.
  void merge(const Observer& other) {
    for (const ReplicaId id : kReplicas) {
      PresencePull pull;
      pull.replica = id;
      if (const auto chunk = other.state.chunk(pull, SIZE_MAX)) merge(*chunk);
    }
  }

  PresenceState state{{9, 9}};
  std::map<std::string, bool> left;
};

template <class Body>
void for_many_histories(Body body) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    body(Histories(random), random);
  }
}

TEST_CASE("messages may be merged in any order: all who have merged all of them agree with the truth") {
  for_many_histories([](Histories histories, Random& random) {
    std::ranges::shuffle(histories.parts, random);
    Observer observer;
    for (const Part& part : histories.parts) observer.merge(part);
    CHECK(observer.picture() == histories.truth);
  });
}

TEST_CASE("messages may be repeated at any time") {
  for_many_histories([](Histories histories, Random& random) {
    std::ranges::shuffle(histories.parts, random);
    Observer observer;
    for (std::size_t i = 0; i < histories.parts.size(); ++i) {
      observer.merge(histories.parts[i]);
      observer.merge(histories.parts[random() % (i + 1)]);
    }
    CHECK(observer.picture() == histories.truth);
    for (const Part& part : histories.parts) observer.merge(part);
    CHECK(observer.picture() == histories.truth);
  });
}

TEST_CASE("merging is associative and commutative: nodes may learn from each other in any grouping") {
  for_many_histories([](const Histories& histories, Random& random) {
    // Each knows a prefix of each replica's deltas.
    Observer all[3];
    for (Observer& observer : all)
      for (const ReplicaId id : kReplicas) {
        const std::uint64_t until = random() % (histories.truth.at(id).second + 1);
        for (const PresenceDelta& delta : histories.deltas)
          if (delta.sender == id && delta.to <= until) observer.merge(delta);
      }
    Observer left;  // (0 + 1) + 2
    left.merge(all[0]);
    left.merge(all[1]);
    left.merge(all[2]);
    Observer right_inner;  // 0 + (2 + 1)
    right_inner.merge(all[2]);
    right_inner.merge(all[1]);
    Observer right;
    right.merge(right_inner);
    right.merge(all[0]);
    CHECK(left.picture() == right.picture());
    const Picture before = left.picture();
    left.merge(right);
    CHECK(left.picture() == before);
  });
}

TEST_CASE("deltas one by one give the same as the whole state at once") {
  for_many_histories([](const Histories& histories, Random&) {
    Observer by_deltas;
    for (const PresenceDelta& delta : histories.deltas) by_deltas.merge(delta);
    Observer at_once;
    at_once.merge(by_deltas);
    CHECK(by_deltas.picture() == histories.truth);
    CHECK(at_once.picture() == histories.truth);
  });
}

}  // namespace
}  // namespace rt::presence
