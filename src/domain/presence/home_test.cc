#include "domain/presence/home.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "protocol/websocket/frame.h"
#include "testing/manual_clock.h"

using namespace std::chrono_literals;

namespace rt::presence {
namespace {

const std::string kLobby = presence_topic({"acme", Privacy::kPublic, "realtime:lobby"});

using Texts = std::vector<std::string>;

std::string without_refs(std::string text) {
  for (const std::string name : {",\"phx_ref\":\"", ",\"phx_ref_prev\":\"", "\"phx_ref\":\""}) {
    for (auto at = text.find(name); at != std::string::npos; at = text.find(name)) text.erase(at, name.size() + 16 + 1);
  }
  return text;
}

struct TestHome : Messengers {
  explicit TestHome(HomeConfig config = {}) : home(config, {1, 1}, wheel, clock, *this) {}

  void tell(const TopicKey& topic, std::string diff) override {
    CHECK(topic.topic == "realtime:lobby");
    queued += diff.size();
    said.push_back("diff " + without_refs(diff));
  }
  void give_state(const TopicKey&, const StateFragment& state, std::span<const Member> members) override {
    std::string line = "state to";
    queued += state->size();
    for (const Member& member : members) {
      CHECK(member.worker == members.front().worker);
      line += " " + std::to_string(member.channel);
      states[member.channel] = state;
    }
    said.push_back(line + " " + without_refs(std::string(ws::parse_server_frame(*state).payload)));
  }
  void refuse(const TopicKey&, const Member& member) override {
    said.push_back("refused " + std::to_string(member.channel));
  }
  bool has_room(std::uint32_t worker, std::size_t bytes) const override {
    return full_worker != worker && bytes < room;
  }
  void call() override { ++calls; }

  void track(std::uint64_t channel, const std::string& key, const std::string& payload) {
    home.track(kLobby, {.channel = channel}, key, PresencePayload(payload));
  }
  void ask(std::uint64_t channel, std::uint32_t worker = 0) {
    home.ask_state(kLobby, {.channel = channel, .worker = worker});
  }
  void leave(std::uint64_t channel) { home.leave(kLobby, {.channel = channel}); }
  void wait(Duration duration) {
    for (const Time end = clock.now() + duration; clock.now() < end;) {
      clock.advance(std::min<Duration>(end - clock.now(), 1ms));
      wheel.advance(clock.now());
    }
  }
  int work_all() {
    int worked = 0;
    for (; calls > 0; ++worked) {
      --calls;
      home.work();
    }
    return worked;
  }
  Texts take() { return std::exchange(said, {}); }

  ManualClock clock;
  TimingWheel wheel{clock.now()};
  Texts said;
  std::map<std::uint64_t, StateFragment> states;  // by channel
  std::size_t queued = 0;                         // for somebody who is told everything
  std::optional<std::uint32_t> full_worker;
  std::size_t room = SIZE_MAX;
  int calls = 0;
  Home home;
};

TEST_CASE("in a quiet topic everything is told at once") {
  TestHome home;
  home.ask(1);
  CHECK(home.take() == Texts{"state to 1 {}"});
  home.track(1, "ann", R"({"a":1})");
  CHECK(home.take() == Texts{R"(diff {"joins":{"ann":{"metas":[{"a":1}]}},"leaves":{}})"});
  home.wait(100ms);
  home.track(1, "ann", "{}");
  CHECK(home.take() == Texts{R"(diff {"joins":{"ann":{"metas":[{}]}},"leaves":{"ann":{"metas":[{"a":1}]}}})"});
  home.wait(100ms);
  home.ask(2);
  CHECK(home.take() == Texts{R"(state to 2 {"ann":{"metas":[{}]}})"});
  home.leave(1);
  CHECK(home.take() == Texts{R"(diff {"joins":{},"leaves":{"ann":{"metas":[{}]}}})"});
  CHECK(home.home.entries() == 0);
  home.wait(100ms);
  CHECK(home.home.active_topics() == 0);
}

TEST_CASE("in a storm changes are told together, no later than the setting says, and joiners get what was told") {
  TestHome home;
  home.track(1, "a", "{}");
  home.take();
  home.track(2, "b", "{}");
  home.track(3, "c", "{}");
  home.ask(4);
  home.leave(2);
  CHECK(home.take().empty());
  home.wait(50ms);
  CHECK(home.take() == Texts{R"(diff {"joins":{"c":{"metas":[{}]}},"leaves":{}})",
                             R"(state to 4 {"a":{"metas":[{}]},"c":{"metas":[{}]}})"});
  // The next one is given the same text, though another change is waiting to be told.
  home.track(5, "e", "{}");
  home.ask(6);
  CHECK(home.take() == Texts{R"(state to 6 {"a":{"metas":[{}]},"c":{"metas":[{}]}})"});
  CHECK(home.states[4] == home.states[6]);
  home.wait(50ms);
  CHECK(home.take() == Texts{R"(diff {"joins":{"e":{"metas":[{}]}},"leaves":{}})"});
}

TEST_CASE("without gathering each change is told at once") {
  TestHome home({.coalesce = 0ms});
  home.track(1, "a", "{}");
  home.track(2, "b", "{}");
  CHECK(home.take().size() == 2);
}

TEST_CASE("gathered changes that are large are told before their time") {
  TestHome home;
  home.track(1, "a", "{}");
  home.take();
  const std::string large = "{\"x\":\"" + std::string(Home::kNewsBytesMax, 'x') + "\"}";
  home.track(2, "b", large);
  CHECK(home.take().size() == 1);
}

TEST_CASE("the state of a full topic and an update of a whole entry fit a queue together") {
  constexpr std::size_t kQueue = 5'000'000;  // the smallest that can be set
  constexpr std::size_t kEntry = entry_bytes_max(kQueue);
  TestHome home({.topic_bytes_max = topic_bytes_max(kQueue)});
  // As large as a channel may track, with the quotes of the key.
  const auto entry = [](char c, std::size_t bytes) { return "{\"x\":\"" + std::string(bytes - 3 - 8, c) + "\"}"; };
  home.track(1, "a", entry('1', kEntry));
  home.track(2, "b", entry('1', kEntry));
  home.track(3, "c", entry('1', topic_bytes_max(kQueue) - 2 * kEntry - 300));
  home.wait(200ms);
  home.queued = 0;
  home.ask(4);
  home.work_all();
  CHECK(home.queued > topic_bytes_max(kQueue) - 500);
  for (std::uint64_t channel = 100; channel < 150; ++channel) home.track(channel, std::to_string(channel), "{}");
  home.track(1, "a", entry('2', kEntry));
  home.wait(200ms);
  CHECK(home.queued > 2 * kEntry + topic_bytes_max(kQueue) - 500);
  CHECK(home.queued < kQueue - Home::kNewsBytesMax);
}

TEST_CASE("a topic that is full refuses what does not fit, and keeps what it has") {
  TestHome home({.coalesce = 50ms, .topic_bytes_max = 1000});
  const std::string half = "{\"x\":\"" + std::string(400, 'x') + "\"}";
  home.track(1, "a", half);
  home.take();
  home.track(2, "b", half + half);
  CHECK(home.take() == Texts{"refused 2"});
  home.track(1, "a", half + half);  // in the place of the first half
  home.wait(60ms);
  CHECK(home.take().size() == 1);
  home.leave(2);
  CHECK(home.take().empty());
  CHECK(home.home.entries() == 1);
}

TEST_CASE("an untrack leaves the wish for the state, the end of a channel does not") {
  TestHome home;
  home.track(1, "a", "{}");
  home.track(2, "b", "{}");
  home.take();
  home.ask(2);
  home.ask(3);
  home.leave(3);
  home.home.untrack(kLobby, {.channel = 2});
  home.wait(50ms);
  CHECK(home.take() == Texts{R"(state to 2 {"a":{"metas":[{}]}})"});
}

TEST_CASE("a large state is written in slices, and what is said meanwhile comes after it") {
  TestHome home({.coalesce = 50ms, .topic_bytes_max = 100'000'000});
  constexpr int kMembers = 5000;
  for (int i = 1; i <= kMembers; ++i) home.track(static_cast<std::uint64_t>(i), "key" + std::to_string(i), "{}");
  home.wait(200ms);
  home.take();
  home.ask(kMembers + 1);
  CHECK(home.take().empty());
  home.track(1, "key1", R"({"new":true})");
  home.leave(2);
  home.ask(kMembers + 2);
  CHECK(home.work_all() > kMembers / static_cast<int>(Home::kMetasPerSlice));
  Texts said = home.take();
  REQUIRE(said.size() == 2);
  CHECK(said[0].starts_with("state to 5001 5002 {"));
  CHECK(std::ranges::count(said[0], '{') == 2 * kMembers + 1);
  CHECK(said[0].find("new") == std::string::npos);
  CHECK(said[1].starts_with("diff {\"joins\":{\"key1\""));
  CHECK(said[1].find("key2") != std::string::npos);
}

TEST_CASE("a state that too much waits for is finished at once") {
  TestHome home({.coalesce = 50ms, .topic_bytes_max = 100'000'000});
  for (int i = 1; i <= 5000; ++i) home.track(static_cast<std::uint64_t>(i), "key" + std::to_string(i), "{}");
  home.wait(200ms);
  home.ask(6000);
  home.take();
  home.track(1, "key1", "{\"x\":\"" + std::string(Home::kHeldBytesMax, 'x') + "\"}");
  const Texts said = home.take();
  REQUIRE(said.size() == 2);
  CHECK(said[0].starts_with("state to 6000"));
  home.work_all();
  CHECK(home.take().empty());
}

// So that its state is none of the small ones.
std::string large() { return "{\"text\":\"" + std::string(Home::kSmallStateBytes, 'x') + "\"}"; }

TEST_CASE("a crowd of joiners is served in slices of one text, while there is room") {
  TestHome home;
  home.track(1, "a", "{}");
  home.take();
  home.track(1, "a", large());  // so that joiners wait
  for (std::uint64_t channel = 100; channel < 200; ++channel) home.ask(channel);
  for (std::uint64_t channel = 200; channel < 210; ++channel) home.ask(channel, 1);
  home.full_worker = 1;
  home.wait(50ms);
  home.work_all();
  CHECK(home.states.size() == 100);
  for (const auto& [channel, state] : home.states) CHECK(state == home.states.begin()->second);
  home.full_worker.reset();
  home.wait(30ms);
  home.work_all();
  CHECK(home.states.size() == 110);
}

TEST_CASE("joiners on one worker wait for one slice of those on another, however many these are") {
  TestHome home;
  home.track(1, "a", large());
  home.track(2, "b", "{}");
  for (std::uint64_t channel = 100; channel < 200; ++channel) home.ask(channel, 0);
  for (std::uint64_t channel = 200; channel < 300; ++channel) home.ask(channel, 1);
  home.ask(300, 2);
  home.wait(50ms);
  const auto given = [&home](std::uint64_t from, std::uint64_t to) {
    return static_cast<std::size_t>(std::distance(home.states.lower_bound(from), home.states.lower_bound(to)));
  };
  home.home.work();
  CHECK(given(300, 301) == 1);
  CHECK(given(100, 200) + given(200, 300) == 2 * Home::kMembersPerSlice - 1);
  CHECK(given(100, 200) > 0);
  CHECK(given(200, 300) > 0);
  home.work_all();
  CHECK(home.states.size() == 201);
}

TEST_CASE("what a worker is about to be given counts before its queues show it") {
  TestHome home;
  home.track(1, "a", large());
  home.track(2, "b", "{}");
  for (std::uint64_t channel = 100; channel < 110; ++channel) home.ask(channel);
  home.room = 3 * Home::kSmallStateBytes;
  home.wait(50ms);
  CHECK(home.states.size() == 3);
}

TEST_CASE("queues that stay full keep nobody from a small state, and from a large one not for ever") {
  TestHome home;
  home.room = 0;
  home.track(1, "a", "{}");
  home.wait(100ms);
  for (std::uint64_t channel = 100; channel < 110; ++channel) home.ask(channel, channel % 2);
  home.wait(1ms);
  CHECK(home.states.size() == 10);

  home.track(1, "a", large());
  home.states.clear();
  home.wait(100ms);
  for (std::uint64_t channel = 200; channel < 204; ++channel) home.ask(channel, channel % 2);
  home.wait(90ms);
  CHECK(home.states.empty());
  home.wait(40ms);
  CHECK(home.states.size() == 1);
  home.wait(120ms);
  CHECK(home.states.size() == 2);
  CHECK(home.states.begin()->first % 2 != home.states.rbegin()->first % 2);  // each worker has its turn
  home.wait(300ms);
  CHECK(home.states.size() == 4);
}

TEST_CASE("a topic has no room for keys that grow when they are written down") {
  TestHome home({.topic_bytes_max = 2'000});
  home.track(1, std::string(400, '\x01'), "{}");
  CHECK(home.take() == Texts{"refused 1"});
  home.track(1, std::string(400, 'x'), "{}");
  CHECK(home.home.entries() == 1);
}

}  // namespace
}  // namespace rt::presence
