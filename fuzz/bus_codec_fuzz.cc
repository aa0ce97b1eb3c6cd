// Whatever comes from the bus is refused, or is a message that survives encoding; and a node that hears it goes on: it
// answers within its bounds and still knows its own clients.
//
// The input is a row of messages, each behind its length in two bytes.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "domain/cluster/membership.h"
#include "domain/presence/replication.h"
#include "protocol/bus/fragments.h"

namespace {

using namespace rt;

constexpr ReplicaId kSelf{1, 1};
constexpr ReplicaId kPeers[] = {{2, 1}, {3, 1}};

struct Node {
  Node() {
    for (const ReplicaId peer : kPeers) presence.peer_up(peer, 1);
    presence.join("room", "own", PresencePayload("{}"));
  }

  void hear(std::string_view bytes) {
    auto message = bus::decode(bytes);
    if (!message) {
      RT_CHECK(!message.error().message.empty());
      return;
    }
    const std::string encoded = bus::encode(*message);
    const auto again = bus::decode(encoded);
    RT_CHECK(again && again->index() == message->index() && bus::encode(*again) == encoded);
    std::visit([this](auto& kind) { receive(kind); }, *message);
    now += std::chrono::milliseconds(400);
    membership.tick(now);
    presence.tick(now);
    for (const auto& outgoing : presence.take_outgoing())
      std::visit([](const auto& kind) { RT_CHECK(bus::decode(bus::encode(bus::BusMessage(kind)))); }, outgoing.message);
  }

  void receive(const Heartbeat& heartbeat) { membership.receive(heartbeat); }
  void receive(bus::Fragment& fragment) {
    const auto whole = reassembly.add(std::move(fragment));
    if (whole) RT_CHECK(whole->size() <= bus::kMessageBytesMax + (1 << 22));
    RT_CHECK(reassembly.bytes() <= 1 << 22);
  }
  void receive(const auto& message) { presence.receive(PresenceMessage(message)); }

  Time now{std::chrono::hours(1)};
  cluster::Membership membership{{.region = "here"}, kSelf, now};
  presence::Replication presence{{}, kSelf, now};
  bus::Reassembly reassembly{1 << 22};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Node node;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (rest.size() > 2) {
    const std::size_t length = static_cast<unsigned char>(rest[0]) * 256U + static_cast<unsigned char>(rest[1]);
    node.hear(rest.substr(2, length));
    rest.remove_prefix(std::min(rest.size(), length + 2));
  }
  const auto& state = node.presence.state();
  RT_CHECK(state.clock() == 1);
  bool is_there = false;
  for (const auto& meta : state.list("room")) is_there |= meta.key == "own" && meta.ref.clock == 1;
  RT_CHECK(is_there);
  for (const ReplicaId peer : kPeers) RT_CHECK(state.dots(peer)->cloud_size() <= 4'096);
  return 0;
}
