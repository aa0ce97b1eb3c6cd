#include "services/realtime/broadcast.h"

#include <doctest/doctest.h>

#include "protocol/websocket/frame.h"

namespace rt::realtime {
namespace {

std::shared_ptr<const Broadcast> broadcast(MessageKind kind, std::string event, std::string payload) {
  return std::make_shared<const Broadcast>(Message{
      .tenant = "t", .topic = "realtime:a", .kind = kind, .event = std::move(event), .payload = std::move(payload)});
}

// Without the WebSocket header; empty when it cannot be delivered.
std::string bytes(const std::shared_ptr<const Broadcast>& broadcast, Form form) {
  const auto encoding = broadcast->encoding(form);
  return encoding.frame ? encoding.frame->substr(2) : "";
}

TEST_CASE("receivers of each version get the form that their version has") {
  const auto text = broadcast(MessageKind::kJson, "", R"({"foo":1.50})");
  CHECK(bytes(text, Form::kV2) == R"([null,null,"realtime:a","broadcast",{"foo":1.50}])");
  CHECK(bytes(text, Form::kV1) == R"({"topic":"realtime:a","event":"broadcast","payload":{"foo":1.50},"ref":null})");
  const auto user = broadcast(MessageKind::kUserJson, "e\"", " [1] ");
  CHECK(bytes(user, Form::kV2) == std::string("\4\12\2\0\1", 5) + "realtime:ae\" [1] ");
  CHECK(
      bytes(user, Form::kV1) ==
      R"({"topic":"realtime:a","event":"broadcast","payload":{"type":"broadcast","event":"e\"","payload":[1]},"ref":null})");
  const auto binary = broadcast(MessageKind::kUserBinary, "e", "\xff");
  CHECK(bytes(binary, Form::kV2) == std::string("\4\12\1\0\0", 5) + "realtime:ae\xff");
  CHECK(binary->encoding(Form::kV1).why == Undeliverable::kByNature);
  CHECK(broadcast(MessageKind::kOpaque, "", "x")->encoding(Form::kV1).why == Undeliverable::kByNature);
}

TEST_CASE("a change of a row is text for everybody, under its own event, and its payload stays as it is") {
  const auto change = broadcast(MessageKind::kRowChange, "INSERT", R"({"record": {"n": 1.50}})");
  CHECK(bytes(change, Form::kV2) == R"([null,null,"realtime:a","INSERT",{"record": {"n": 1.50}}])");
  CHECK(bytes(change, Form::kV1) ==
        R"({"topic":"realtime:a","event":"INSERT","payload":{"record": {"n": 1.50}},"ref":null})");
  CHECK(change->encoding(Form::kV2Text).frame.get() == change->encoding(Form::kV2).frame.get());
}

TEST_CASE("where only text can go, version 2 gets user broadcasts as text, and bytes not at all") {
  const auto text = broadcast(MessageKind::kJson, "", "{}");
  CHECK(text->encoding(Form::kV2Text).frame.get() == text->encoding(Form::kV2).frame.get());
  const auto user = broadcast(MessageKind::kUserJson, std::string(256, 'e'), "[1]");
  CHECK(user->encoding(Form::kV2Text)
            .frame->ends_with(R"([null,null,"realtime:a","broadcast",{"type":"broadcast","event":")" +
                              std::string(256, 'e') + R"(","payload":[1]}])"));
  CHECK(user->encoding(Form::kV2Text).frame.get() == user->encoding(Form::kV2Text).frame.get());
  for (const auto kind : {MessageKind::kUserBinary, MessageKind::kOpaque})
    CHECK(broadcast(kind, "e", "x")->encoding(Form::kV2Text).why == Undeliverable::kTextOnly);
  CHECK(broadcast(MessageKind::kUserJson, "e", "{lie")->encoding(Form::kV2Text).why == Undeliverable::kByNature);
}

std::shared_ptr<const Broadcast> stored(MessageKind kind, std::string event, std::string payload) {
  return std::make_shared<const Broadcast>(Message{.tenant = "t",
                                                   .topic = "realtime:a",
                                                   .kind = kind,
                                                   .event = std::move(event),
                                                   .payload = std::move(payload),
                                                   .id = "6b1f2c1e-3d7a-4c55-9a0b-2f8f3f0d9a11"});
}

TEST_CASE("a row of the database is told with its id, and its JSON is what the database wrote") {
  const std::string id = R"({"id":"6b1f2c1e-3d7a-4c55-9a0b-2f8f3f0d9a11"})";
  const auto row = stored(MessageKind::kUserJson, "e\"", R"({"n": 1.10})");
  CHECK(bytes(row, Form::kV2) == "\4\12\2\55\1realtime:ae\"" + id + R"({"n": 1.10})");
  const std::string payload = R"({"event":"e\"","meta":)" + id + R"(,"payload":{"n": 1.10},"type":"broadcast"})";
  CHECK(row->encoding(Form::kV1).frame->ends_with(R"({"topic":"realtime:a","event":"broadcast","payload":)" + payload +
                                                  R"(,"ref":null})"));
  CHECK(row->encoding(Form::kV2Text).frame->ends_with(R"([null,null,"realtime:a","broadcast",)" + payload + "]"));
  for (const char* scalar : {"null", "[1, 2]", "\"text\"", "1.10"})
    CHECK(bytes(stored(MessageKind::kUserJson, "e", scalar), Form::kV2).ends_with(id + scalar));

  const auto binary = stored(MessageKind::kUserBinary, "e", "");
  CHECK(bytes(binary, Form::kV2) == std::string("\4\12\1\55\0", 5) + "realtime:ae" + id);
  CHECK(binary->encoding(Form::kV1).why == Undeliverable::kByNature);
  CHECK(binary->encoding(Form::kV2Text).why == Undeliverable::kTextOnly);
  CHECK(stored(MessageKind::kUserJson, std::string(256, 'e'), "1")->encoding(Form::kV2).why ==
        Undeliverable::kFrameLimit);
}

TEST_CASE("what waits for a message to be through is told when the last of its frames is gone, of whatever form") {
  ws::Deflater deflater({.threshold_bytes = 100});
  for (const int form : {0, 1, 2, 3}) {
    auto receipt = std::make_shared<const int>(0);
    const std::weak_ptr<const int> is_held = receipt;
    auto message = std::make_shared<const Broadcast>(Message{.topic = "realtime:a",
                                                             .kind = MessageKind::kUserJson,
                                                             .payload = "\"" + std::string(500, 'x') + "\"",
                                                             .receipt = std::move(receipt)});
    auto frame = form == 0   ? message->encoding(Form::kV2).frame
                 : form == 1 ? message->compressed(Form::kV1, deflater)
                 : form == 2 ? message->polled(Form::kV2Text)
                             : message->payload_fragment();
    message.reset();
    CHECK(!is_held.expired());
    frame.reset();
    CHECK(is_held.expired());
  }
}

TEST_CASE("a payload that calls itself JSON and is not reaches those who do not parse it, and nobody else") {
  const auto lie = broadcast(MessageKind::kUserJson, "e", "{nonsense");
  CHECK(!bytes(lie, Form::kV2).empty());
  CHECK(bytes(lie, Form::kV1).empty());
}

TEST_CASE("a name too long for a binary frame costs only the receivers of binary frames") {
  const auto message = broadcast(MessageKind::kUserJson, std::string(256, 'e'), "1");
  CHECK(message->encoding(Form::kV2).why == Undeliverable::kFrameLimit);
  CHECK(message->encoding(Form::kV1).frame != nullptr);
}

TEST_CASE("a frame is compressed once, by whoever asks first, and left plain where that does not pay") {
  ws::Deflater first({.threshold_bytes = 100});
  ws::Deflater second({.threshold_bytes = 100});
  const auto large = broadcast(MessageKind::kJson, "", "{\"a\":\"" + std::string(500, 'x') + "\"}");
  const auto frame = large->compressed(Form::kV2, first);
  CHECK(frame->size() < 100);
  CHECK(large->compressed(Form::kV2, second).get() == frame.get());
  CHECK(large->compressed(Form::kV1, second).get() != frame.get());
  const auto small = broadcast(MessageKind::kJson, "", "{}");
  CHECK(small->compressed(Form::kV2, first).get() == small->encoding(Form::kV2).frame.get());
}

TEST_CASE("a payload by itself is made once, a fragment in the middle of any message, and outlives the broadcast") {
  auto message = broadcast(MessageKind::kPresenceDiff, "", R"({"joins":{},"leaves":{}})");
  const auto fragment = message->payload_fragment();
  CHECK(message->payload_fragment().get() == fragment.get());
  message.reset();
  CHECK(*fragment ==
        ws::make_fragment(ws::Opcode::kContinuation, ws::Fragment::kMoreFollow, R"({"joins":{},"leaves":{}})"));
}

TEST_CASE("a frame is encoded once and outlives the last one who named the broadcast") {
  auto message = broadcast(MessageKind::kJson, "", "{}");
  const auto first = message->encoding(Form::kV2).frame;
  CHECK(message->encoding(Form::kV2).frame.get() == first.get());
  message.reset();
  CHECK(first->ends_with("{}]"));
}

}  // namespace
}  // namespace rt::realtime
