#include "services/realtime/poll_queue.h"

#include <doctest/doctest.h>

#include "protocol/json/walker.h"
#include "protocol/websocket/frame.h"

namespace rt::realtime {
namespace {

net::FrameRef message(std::string_view text) {
  return net::FrameRef(to_message(ws::make_frame(ws::Opcode::kText, {text})));
}

TEST_CASE("a poll gets the texts of the frames in order, as strings of one JSON array") {
  Counter all;
  PollQueue queue(all);
  queue.push(message(R"([null,"1","t","e",{"a":"\n\"grüße"}])"));
  queue.push(message(std::string(70'000, ' ')));
  const std::string messages = queue.take(1'000'000);
  CHECK(messages == R"(["[null,\"1\",\"t\",\"e\",{\"a\":\"\\n\\\"grüße\"}]",")" + std::string(70'000, ' ') + "\"]");
  CHECK(json::walk_document(messages));
  CHECK(queue.is_empty());
  CHECK(queue.take(1) == "[]");
}

TEST_CASE("a poll gets no more than its share, but always one frame") {
  Counter all;
  PollQueue queue(all);
  for (int i = 0; i < 3; ++i) queue.push(message(std::string(98, 'a' + static_cast<char>(i))));
  CHECK(queue.take(200) == "[\"" + std::string(98, 'a') + "\",\"" + std::string(98, 'b') + "\"]");
  CHECK(queue.take(1) == "[\"" + std::string(98, 'c') + "\"]");
}

TEST_CASE("what waits is counted, for a queue and for all of a worker, until it is taken, thrown away or destroyed") {
  Counter all;
  all.set(7);
  {
    PollQueue first(all);
    PollQueue second(all);
    const net::FrameRef shared = message(std::string(98, 'x'));
    first.push(shared);
    second.push(shared);
    second.push(shared);
    CHECK(first.bytes() == 100);
    CHECK(second.bytes() == 200);
    CHECK(all.value() == 307);
    first.take(1);
    CHECK(all.value() == 207);
    CHECK(second.discard() == 2);
    CHECK(second.is_empty());
    CHECK(all.value() == 7);
    second.push(shared);
  }
  CHECK(all.value() == 7);
}

}  // namespace
}  // namespace rt::realtime
