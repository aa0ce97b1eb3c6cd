#include "domain/channels/topic_table.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <random>
#include <set>

namespace rt::channels {
namespace {

struct CountedInterest : Interest {
  std::map<std::uint64_t, int> wanted;
  void begin(std::uint64_t hash) override { ++wanted[hash]; }
  void end(std::uint64_t hash) override {
    if (--wanted[hash] == 0) wanted.erase(hash);
  }
};

std::set<SocketId> sockets(const TopicTable& table, const TopicKey& key) {
  std::set<SocketId> found;
  if (const Topic* topic = table.find(key, hash_of(table.hash_key(), key))) {
    for (const Subscriber& s : topic->subscribers) found.insert(s.socket);
  }
  return found;
}

TEST_CASE("tenants, private and public channels, and topics of different names never meet") {
  CountedInterest interest;
  TopicTable table({1, 2}, interest);
  const TopicKey keys[] = {{"a", Privacy::kPublic, "realtime:x"},  {"b", Privacy::kPublic, "realtime:x"},
                           {"a", Privacy::kPrivate, "realtime:x"}, {"a", Privacy::kPublic, "realtime:X"},
                           {"ar", Privacy::kPublic, "ealtime:x"},  {"", Privacy::kPublic, "arealtime:x"}};
  std::vector<std::unique_ptr<Seat>> seats;
  SocketId id = 1;
  for (const TopicKey& key : keys) seats.push_back(std::make_unique<Seat>(table, key, id++, FrameForm{}));
  id = 1;
  for (const TopicKey& key : keys) CHECK(sockets(table, key) == std::set<SocketId>{id++});
  CHECK(interest.wanted.size() == 6);
  seats.clear();
  CHECK(table.size() == 0);
  CHECK(interest.wanted.empty());
}

TEST_CASE("members of a public topic have all rights, those of a private one only what was given to each") {
  CountedInterest interest;
  TopicTable table({1, 2}, interest);
  const Seat open(table, {"a", Privacy::kPublic, "realtime:x"}, 1, FrameForm{});
  CHECK(open.rights() == Rights::all());
  const TopicKey key{"a", Privacy::kPrivate, "realtime:x"};
  auto first = std::make_unique<Seat>(table, key, 2, FrameForm{});
  Seat second(table, key, 3, FrameForm{});
  CHECK(first->rights() == Rights{});
  second.set_rights({.broadcast_read = true, .presence_read = false});
  CHECK(first->rights() == Rights{});
  // The second takes the place of the first.
  first.reset();
  CHECK(second.rights() == Rights{.broadcast_read = true, .presence_read = false});
}

TEST_CASE("after any sequence of joins and leaves a topic has exactly its members, and interest ends with the last") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  CountedInterest interest;
  TopicTable table({seed, 7}, interest);
  std::map<std::pair<int, SocketId>, std::unique_ptr<Seat>> seats;
  for (int step = 0; step < 5000; ++step) {
    const int topic = static_cast<int>(random() % 5);
    const std::string name = "realtime:" + std::to_string(topic);
    const SocketId socket = random() % 20;
    auto& seat = seats[{topic, socket}];
    if (seat) {
      seats.erase({topic, socket});
    } else {
      seat = std::make_unique<Seat>(table, TopicKey{"t", Privacy::kPublic, name}, socket, FrameForm{});
    }
    std::set<SocketId> expected;
    for (const auto& [key, held] : seats) {
      if (key.first == topic) expected.insert(key.second);
    }
    REQUIRE(sockets(table, {"t", Privacy::kPublic, name}) == expected);
    REQUIRE(table.seats() == seats.size());
    REQUIRE(interest.wanted.size() == table.size());
  }
}

}  // namespace
}  // namespace rt::channels
