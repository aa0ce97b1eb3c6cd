#include "domain/presence/state.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "domain/presence/consistency.h"

namespace rt::presence {
namespace {

constexpr std::size_t kAnySize = 1'000'000;
constexpr ReplicaId kA{1, 1};
constexpr ReplicaId kB{2, 1};

PresencePayload payload(const std::string& text) { return PresencePayload(text); }

std::string text_of(const std::vector<PresenceMeta>& metas) {
  std::vector<std::string> words;
  for (const PresenceMeta& meta : metas) words.push_back((meta.key + "=").append(meta.payload.view()));
  std::ranges::sort(words);
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// `+joins -leaves` of a topic.
std::string text_of(const PresenceDiff& diff, std::string_view topic = "room") {
  const auto found = diff.find(topic);
  if (found == diff.end()) return "";
  return "+" + text_of(found->second.joins) + " -" + text_of(found->second.leaves);
}

// A replica that keeps track of its ends, as replication does.
struct Node {
  explicit Node(ReplicaId id) : state(id) {}

  std::uint64_t join(std::string_view key, const std::string& meta) {
    return state.join("room", key, payload(meta)).clock;
  }
  std::uint64_t update(std::uint64_t clock, const std::string& meta) {
    const auto updated = state.update(clock, payload(meta)).clock;
    ends.push_back({updated - 1, clock});
    return updated;
  }
  void leave(std::uint64_t clock) {
    state.leave(clock);
    ends.push_back({state.clock(), clock});
  }
  PresenceDelta delta(std::uint64_t from, std::size_t bytes_max = kAnySize) const {
    const auto first = std::ranges::upper_bound(ends, from, {}, &PresenceState::End::clock);
    return state.delta(from, {first, ends.end()}, bytes_max);
  }
  PresenceChunk chunk(ReplicaId replica, std::uint64_t known = 0, std::uint64_t after = 0, std::uint64_t top = 0,
                      std::size_t bytes_max = kAnySize) const {
    PresencePull pull;
    pull.replica = replica;
    pull.known = known;
    pull.after = after;
    pull.top = top;
    const auto chunk = state.chunk(pull, bytes_max);
    REQUIRE(chunk);
    CHECK(is_consistent(*chunk));
    return *chunk;
  }
  std::string list() const { return text_of(state.list("room")); }

  PresenceState state;
  std::vector<PresenceState::End> ends;
};

struct Pair {
  Pair() { b.state.replica_up(kA); }
  Node a{kA};
  Node b{kB};
};

TEST_CASE("a client that tracks, tracks again and untracks is seen to do so at home") {
  PresenceState state(kA);
  const auto joined = state.join("room", "ann", payload("1"));
  CHECK(text_of(joined.diff) == "+ann=1 -");
  const auto updated = state.update(joined.clock, payload("2"));
  CHECK(text_of(updated.diff) == "+ann=2 -ann=1");
  CHECK(updated.diff.at("room").joins[0].ref_prev == joined.diff.at("room").joins[0].ref);
  CHECK(!joined.diff.at("room").joins[0].ref_prev);
  CHECK(text_of(state.list("room")) == "ann=2");
  CHECK(text_of(state.leave(updated.clock)) == "+ -ann=2");
  CHECK(state.leave(updated.clock).empty());
  CHECK(state.list("room").empty());
  CHECK(state.size() == 0);
}

TEST_CASE("several clients share a key, and topics have nothing in common") {
  PresenceState state(kA);
  const auto one = state.join("room", "ann", payload("phone"));
  state.join("room", "ann", payload("desk"));
  state.join("hall", "ann", payload("tv"));
  CHECK(text_of(state.list("room")) == "ann=desk ann=phone");
  state.leave(one.clock);
  CHECK(text_of(state.list("room")) == "ann=desk");
  CHECK(text_of(state.list("hall")) == "ann=tv");
}

TEST_CASE("a topic listed in parts is the whole topic, however many share a key and however many are hidden") {
  PresenceState state(kA);
  state.replica_up(kB);
  PresenceState other(kB);
  state.join("room", "a", payload("first"));
  for (int i = 0; i < 50'000; ++i) {
    state.join("room", "shared", payload(std::to_string(i)));
    if (i % 3 == 0) other.join("room", "shared", payload("hidden"));
  }
  state.join("room", "z", payload("last"));
  state.merge(other.delta(0, {}, SIZE_MAX));
  state.replica_down(kB);
  std::vector<PresenceMeta> all;
  PresenceState::Place place;
  for (std::size_t more = 7; more == 7;) {
    std::vector<PresenceMeta> some = state.list("room", place, 7);
    more = some.size();
    std::ranges::move(some, std::back_inserter(all));
  }
  CHECK(all.size() == 50'002);
  CHECK(text_of(all) == text_of(state.list("room")));
  CHECK(all.front().key == "a");
  CHECK(all.back().key == "z");
}

TEST_CASE("the version of a topic changes with its members, and only then") {
  Pair pair;
  const auto clock = pair.b.join("bob", "1");
  const auto before = pair.b.state.version("room");
  pair.b.state.join("hall", "eve", payload("1"));
  CHECK(pair.b.state.version("room") == before);
  pair.a.join("ann", "1");
  pair.b.state.merge(pair.a.delta(0));
  const auto both = pair.b.state.version("room");
  CHECK(both != before);
  pair.b.state.merge(pair.a.delta(0));
  CHECK(pair.b.state.version("room") == both);
  pair.b.state.replica_down(kA);
  CHECK(pair.b.state.version("room") != both);
  pair.b.leave(clock);
  pair.b.state.replica_forget(kA);
  CHECK(pair.b.state.version("room") == 0);
}

TEST_CASE("a delta tells others what happened, once") {
  Pair pair;
  const auto ann = pair.a.join("ann", "1");
  CHECK(text_of(pair.b.state.merge(pair.a.delta(0))) == "+ann=1 -");
  CHECK(pair.b.state.merge(pair.a.delta(0)).empty());
  const auto before = pair.a.state.clock();
  pair.a.update(ann, "2");
  const auto diff = pair.b.state.merge(pair.a.delta(before));
  CHECK(text_of(diff) == "+ann=2 -ann=1");
  CHECK(diff.at("room").joins[0].ref_prev == diff.at("room").leaves[0].ref);
  CHECK(pair.b.state.dots(kA)->prefix() == 3);
}

TEST_CASE("who came and went between two deltas is never shown elsewhere") {
  Pair pair;
  pair.a.leave(pair.a.join("ann", "1"));
  const auto delta = pair.a.delta(0);
  CHECK(delta.births.empty());
  CHECK(pair.b.state.merge(delta).empty());
  CHECK(pair.b.state.dots(kA)->prefix() == 2);
}

TEST_CASE("an end that is heard of before the birth wins") {
  Pair pair;
  const auto ann = pair.a.join("ann", "1");
  const auto birth = pair.a.delta(0);
  pair.a.leave(ann);
  pair.b.state.merge(pair.a.delta(1));
  CHECK(pair.b.state.merge(birth).empty());
  CHECK(pair.b.list().empty());
  CHECK(pair.b.state.dots(kA)->prefix() == 2);
}

TEST_CASE("an update that is lost is missed, although the end of what it brought is known") {
  Pair pair;
  const auto first = pair.a.join("ann", "1");
  pair.b.state.merge(pair.a.delta(0));
  const auto second = pair.a.update(first, "2");  // lost
  const auto before = pair.a.state.clock();
  pair.a.leave(second);
  pair.b.state.merge(pair.a.delta(before));
  CHECK(pair.b.state.dots(kA)->prefix() == 1);
  CHECK(pair.b.state.dots(kA)->highest() == 4);
  CHECK(text_of(pair.b.state.merge(pair.a.chunk(kA, 1))) == "+ -ann=1");
  CHECK(pair.b.state.dots(kA)->prefix() == 4);
}

TEST_CASE("a peer that joins gets everything in chunks of bounded size, also what it knows by name only") {
  Pair pair;
  std::vector<std::uint64_t> clocks;
  for (int i = 0; i < 50; ++i) clocks.push_back(pair.a.join("key-" + std::to_string(i), "meta"));
  pair.b.state.merge(pair.a.chunk(kA));
  for (int i = 0; i < 50; i += 2) pair.a.leave(clocks[static_cast<std::size_t>(i)]);
  for (int i = 50; i < 80; ++i) pair.a.join("key-" + std::to_string(i), "meta");

  const auto known = pair.b.state.dots(kA)->prefix();
  std::uint64_t after = 0;
  std::uint64_t top = 0;
  int chunks = 0;
  do {
    const auto chunk = pair.a.chunk(kA, known, after, top, 300);
    CHECK(chunk.kept.size() * 10 + chunk.births.size() * 64 <= 300);
    pair.b.state.merge(chunk);
    after = chunk.through;
    top = chunk.top;
    ++chunks;
  } while (after < top);
  CHECK(chunks > 10);
  CHECK(pair.b.list() == pair.a.list());
  CHECK(pair.b.state.dots(kA)->prefix() == pair.a.state.clock());
}

TEST_CASE("a state may change, and another node may take over, between two chunks") {
  Pair pair;
  Node c({3, 1});
  c.state.replica_up(kA);
  const auto first = pair.a.join("first", "1");
  pair.a.join("second", "1");
  const auto third = pair.a.join("third", "1");
  c.state.merge(pair.a.chunk(kA));

  const auto chunk = pair.a.chunk(kA, 0, 0, 0, 1);
  pair.b.state.merge(chunk);
  CHECK(pair.b.list() == "first=1");
  pair.a.leave(first);
  pair.a.leave(third);
  pair.b.state.merge(c.chunk(kA, 0, chunk.through, chunk.top));
  CHECK(pair.b.list() == "first=1 second=1 third=1");
  pair.b.state.merge(pair.a.delta(3));
  CHECK(pair.b.list() == "second=1");
}

TEST_CASE("a delta that does not fit is several, none of which tells of an end but not of its entry") {
  Pair pair;
  std::vector<std::uint64_t> clocks;
  for (int i = 0; i < 20; ++i) clocks.push_back(pair.a.join("old-" + std::to_string(i), "1"));
  pair.b.state.merge(pair.a.delta(0));
  for (int i = 0; i < 20; ++i) {
    if (i % 3 == 0) pair.a.update(clocks[static_cast<std::size_t>(i)], "2");
    if (i % 3 == 1) pair.a.leave(clocks[static_cast<std::size_t>(i)]);
    if (i % 3 == 2) pair.a.leave(pair.a.join("short", "1"));
  }
  int pieces = 0;
  for (std::uint64_t from = 20; from < pair.a.state.clock(); ++pieces) {
    const auto delta = pair.a.delta(from, 150);
    CHECK(is_consistent(delta));
    from = delta.to;
    pair.b.state.merge(delta);
  }
  CHECK(pieces > 5);
  CHECK(pair.b.list() == pair.a.list());
}

TEST_CASE("the members of a replica that is down are hidden, and back when it is up again") {
  Pair pair;
  pair.a.join("ann", "1");
  pair.b.state.merge(pair.a.delta(0));
  CHECK(text_of(pair.b.state.replica_down(kA)) == "+ -ann=1");
  CHECK(pair.b.state.replica_down(kA).empty());
  CHECK(pair.b.list().empty());
  pair.a.join("amy", "1");
  CHECK(pair.b.state.merge(pair.a.delta(1)).empty());
  CHECK(text_of(pair.b.state.replica_up(kA)) == "+amy=1 ann=1 -");
}

TEST_CASE("a replica that was down permanently and comes back all the same is learnt anew") {
  Pair pair;
  const auto ann = pair.a.join("ann", "1");
  pair.a.join("amy", "1");
  pair.b.state.merge(pair.a.delta(0));
  CHECK(text_of(pair.b.state.replica_forget(kA)) == "+ -amy=1 ann=1");
  CHECK(pair.b.state.dots(kA) == nullptr);
  CHECK(pair.b.state.merge(pair.a.delta(0)).empty());  // nobody listens to it
  pair.a.leave(ann);
  pair.b.state.replica_up(kA);
  pair.b.state.merge(pair.a.delta(2));
  CHECK(pair.b.list().empty());
  pair.b.state.merge(pair.a.chunk(kA));
  CHECK(pair.b.list() == "amy=1");
}

TEST_CASE("nobody else tells us what our own clients do") {
  Pair pair;
  pair.b.join("bob", "1");
  Node twin(kB);
  twin.leave(twin.join("bob", "1"));
  CHECK(pair.b.state.merge(twin.delta(0)).empty());
  CHECK(pair.b.state.merge(twin.chunk(kB)).empty());
  CHECK(pair.b.state.replica_forget(kB).empty());
  CHECK(pair.b.list() == "bob=1");
}

TEST_CASE("messages that cannot be true are told from those that can") {
  Node a(kA);
  a.join("ann", "1");
  a.leave(a.join("amy", "1"));
  const auto good = a.delta(0);
  CHECK(is_consistent(good));
  auto bad = good;
  bad.births.push_back(bad.births[0]);
  CHECK(!is_consistent(bad));
  bad = good;
  bad.births[0].clock = 4;
  CHECK(!is_consistent(bad));
  bad = good;
  bad.births[0].replaces = 1;
  CHECK(!is_consistent(bad));
  bad = good;
  bad.gone = {1};
  CHECK(!is_consistent(bad));
  bad = good;
  bad.to = std::uint64_t{1} << 48;
  CHECK(!is_consistent(bad));

  auto chunk = a.chunk(kA);
  chunk.kept = {1};
  CHECK(!is_consistent(chunk));
  chunk = a.chunk(kA);
  chunk.through = chunk.top + 1;
  CHECK(!is_consistent(chunk));
}

}  // namespace
}  // namespace rt::presence
