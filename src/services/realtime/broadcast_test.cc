#include "services/realtime/broadcast.h"

#include <doctest/doctest.h>

namespace rt::realtime {
namespace {

using phoenix::Version;

std::shared_ptr<const Broadcast> broadcast(MessageKind kind, std::string event, std::string payload) {
  return std::make_shared<const Broadcast>(Message{
      .tenant = "t", .topic = "realtime:a", .kind = kind, .event = std::move(event), .payload = std::move(payload)});
}

// Without the WebSocket header; empty when it cannot be delivered.
std::string bytes(const std::shared_ptr<const Broadcast>& broadcast, Version version) {
  const auto encoding = broadcast->encoding(version);
  return encoding.frame ? encoding.frame->substr(2) : "";
}

TEST_CASE("receivers of each version get the form that their version has") {
  const auto text = broadcast(MessageKind::kJson, "", R"({"foo":1.50})");
  CHECK(bytes(text, Version::kV2) == R"([null,null,"realtime:a","broadcast",{"foo":1.50}])");
  CHECK(bytes(text, Version::kV1) == R"({"topic":"realtime:a","event":"broadcast","payload":{"foo":1.50},"ref":null})");
  const auto user = broadcast(MessageKind::kUserJson, "e\"", " [1] ");
  CHECK(bytes(user, Version::kV2) == std::string("\4\12\2\0\1", 5) + "realtime:ae\" [1] ");
  CHECK(
      bytes(user, Version::kV1) ==
      R"({"topic":"realtime:a","event":"broadcast","payload":{"type":"broadcast","event":"e\"","payload":[1]},"ref":null})");
  const auto binary = broadcast(MessageKind::kUserBinary, "e", "\xff");
  CHECK(bytes(binary, Version::kV2) == std::string("\4\12\1\0\0", 5) + "realtime:ae\xff");
  CHECK(binary->encoding(Version::kV1).why == Undeliverable::kByNature);
  CHECK(broadcast(MessageKind::kOpaque, "", "x")->encoding(Version::kV1).why == Undeliverable::kByNature);
}

TEST_CASE("a payload that calls itself JSON and is not reaches those who do not parse it, and nobody else") {
  const auto lie = broadcast(MessageKind::kUserJson, "e", "{nonsense");
  CHECK(!bytes(lie, Version::kV2).empty());
  CHECK(bytes(lie, Version::kV1).empty());
}

TEST_CASE("a name too long for a binary frame costs only the receivers of binary frames") {
  const auto message = broadcast(MessageKind::kUserJson, std::string(256, 'e'), "1");
  CHECK(message->encoding(Version::kV2).why == Undeliverable::kFrameLimit);
  CHECK(message->encoding(Version::kV1).frame != nullptr);
}

TEST_CASE("a frame is compressed once, by whoever asks first, and left plain where that does not pay") {
  ws::Deflater first({.threshold_bytes = 100});
  ws::Deflater second({.threshold_bytes = 100});
  const auto large = broadcast(MessageKind::kJson, "", "{\"a\":\"" + std::string(500, 'x') + "\"}");
  const auto frame = large->compressed(Version::kV2, first);
  CHECK(frame->size() < 100);
  CHECK(large->compressed(Version::kV2, second).get() == frame.get());
  CHECK(large->compressed(Version::kV1, second).get() != frame.get());
  const auto small = broadcast(MessageKind::kJson, "", "{}");
  CHECK(small->compressed(Version::kV2, first).get() == small->encoding(Version::kV2).frame.get());
}

TEST_CASE("a frame is encoded once and outlives the last one who named the broadcast") {
  auto message = broadcast(MessageKind::kJson, "", "{}");
  const auto first = message->encoding(Version::kV2).frame;
  CHECK(message->encoding(Version::kV2).frame.get() == first.get());
  message.reset();
  CHECK(first->ends_with("{}]"));
}

}  // namespace
}  // namespace rt::realtime
