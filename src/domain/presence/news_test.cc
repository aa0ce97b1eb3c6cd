#include "domain/presence/news.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace rt::presence {
namespace {

const std::string kTopic = "t";

PresencePayload meta(const std::string& text) { return PresencePayload(text); }

// One topic, and what a member was told of it.
struct TestTopic {
  using Texts = std::vector<std::string>;

  std::uint64_t join(const std::string& key, const std::string& text = "{}") {
    auto tracked = state.join(kTopic, key, meta(text));
    news.add(tracked.diff[kTopic], kTopic, state);
    return tracked.clock;
  }
  std::uint64_t update(std::uint64_t clock, const std::string& text) {
    auto tracked = state.update(clock, meta(text));
    news.add(tracked.diff[kTopic], kTopic, state);
    return tracked.clock;
  }
  void leave(std::uint64_t clock) {
    auto diff = state.leave(clock);
    news.add(diff[kTopic], kTopic, state);
  }
  // `+key` for each join, `-key` for each leave, a diff a line.
  Texts tell() {
    Texts lines;
    for (const PresenceTopicDiff& diff : news.take()) {
      std::string line;
      for (const PresenceMeta& meta : diff.joins) line.append("+" + meta.key).append(meta.payload.view());
      for (const PresenceMeta& meta : diff.leaves) line.append("-" + meta.key).append(meta.payload.view());
      lines.push_back(line);
    }
    return lines;
  }

  PresenceState state{{1, 1}};
  News news;
};
using Texts = TestTopic::Texts;

TEST_CASE("what happens to different keys at once is told at once, in the order of keys") {
  TestTopic topic;
  const auto bob = topic.join("bob");
  CHECK(topic.tell() == Texts{"+bob{}"});
  topic.join("eve");
  topic.join("ann");
  topic.leave(bob);
  CHECK(topic.news.bytes() > 0);
  CHECK(topic.tell() == Texts{"+ann{}+eve{}-bob{}"});
  CHECK(topic.news.empty());
  CHECK(topic.news.bytes() == 0);
}

TEST_CASE("who came and went unseen is not told of, and an update only in its last form") {
  TestTopic topic;
  topic.leave(topic.join("ann"));
  CHECK(topic.news.empty());
  auto bob = topic.join("bob", "{1}");
  topic.tell();
  bob = topic.update(bob, "{2}");
  bob = topic.update(bob, "{3}");
  CHECK(topic.tell() == Texts{"+bob{3}-bob{1}"});
  bob = topic.update(bob, "{4}");
  topic.leave(bob);
  CHECK(topic.tell() == Texts{"-bob{3}"});
}

TEST_CASE("a key that everybody left and that came back is told to have gone, then to have come") {
  TestTopic topic;
  auto bob = topic.join("bob", "{1}");
  topic.tell();
  for (int i = 0; i < 100; ++i) {
    topic.leave(bob);
    bob = topic.join("bob", "{2}");
  }
  topic.join("ann");
  CHECK(topic.tell() == Texts{"+ann{}-bob{1}", "+bob{2}"});
}

TEST_CASE("a key that somebody always had is told in one diff") {
  TestTopic topic;
  const auto first = topic.join("bob", "{1}");
  topic.tell();
  topic.join("bob", "{2}");
  topic.leave(first);
  topic.join("bob", "{3}");
  const auto lines = topic.tell();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with("-bob{1}"));
}

TEST_CASE(
    "after any history a member who was told of it knows who is there, and no key came back without having gone") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  TestTopic topic;
  std::vector<std::uint64_t> alive;
  std::map<std::string, std::set<std::string>> seen;  // refs by key
  for (int step = 0; step < 5000; ++step) {
    const std::size_t at = alive.empty() ? 0 : random() % alive.size();
    switch (random() % 4) {
      case 0:
        alive.push_back(topic.join("key" + std::to_string(random() % 4)));
        break;
      case 1:
        if (!alive.empty()) alive[at] = topic.update(alive[at], std::to_string(step));
        break;
      case 2:
        if (alive.empty()) break;
        topic.leave(alive[at]);
        alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      default:
        if (random() % 3 != 0) break;
        const auto diffs = topic.news.take();
        REQUIRE(diffs.size() <= 2);
        for (const PresenceTopicDiff& diff : diffs) {
          for (const PresenceMeta& meta : diff.joins) REQUIRE(seen[meta.key].insert(meta.ref.text()).second);
          for (const PresenceMeta& meta : diff.leaves) REQUIRE(seen[meta.key].erase(meta.ref.text()) == 1);
        }
        std::map<std::string, std::set<std::string>> there;
        for (const PresenceMeta& meta : topic.state.list(kTopic)) there[meta.key].insert(meta.ref.text());
        std::erase_if(seen, [](const auto& key) { return key.second.empty(); });
        REQUIRE(seen == there);
    }
  }
}

}  // namespace
}  // namespace rt::presence
