#include "io/net/send_queue.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

namespace rt::net {
namespace {

std::string gathered(const SendQueue& queue, const SendShare& max) {
  std::vector<iovec> pieces;
  JoinedFrames joined;
  const std::size_t total = queue.gather(pieces, max, joined);
  std::string bytes;
  for (const iovec& piece : pieces) bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  CHECK(bytes.size() == total);
  CHECK(pieces.size() <= max.frames);
  CHECK(total <= max.bytes);
  return bytes;
}

TEST_CASE("whatever pieces the kernel takes, every byte goes out once and in order") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  SendQueue queue;
  std::string expected, sent;
  int next = 0;
  while (sent.size() < 100'000) {
    for (unsigned i = random() % 6; i > 0; --i) {
      const std::string frame = std::to_string(next++) + std::string(random() % 50, '.') + "|";
      expected += frame;
      queue.push(FrameRef(frame));
    }
    const std::string offered = gathered(queue, {.frames = 1 + random() % 8, .bytes = 1 + random() % 300});
    const std::size_t taken = offered.empty() ? 0 : random() % (offered.size() + 1);
    sent += offered.substr(0, taken);
    queue.consume(taken);
    REQUIRE(queue.bytes() == expected.size() - sent.size());
    REQUIRE(queue.empty() == (queue.bytes() == 0));
  }
  CHECK(expected.starts_with(sent));
}

TEST_CASE("a discarded queue still finishes the frame that is on the wire") {
  SendQueue queue;
  for (const char* frame : {"first", "second", "third"}) queue.push(FrameRef(std::string(frame)));
  queue.consume(7);  // "first" and "se"
  CHECK(queue.discard_unsent() == 1);
  CHECK(gathered(queue, {10, 1000}) == "cond");
  CHECK(queue.bytes() == 4);
  queue.consume(4);
  CHECK(queue.discard_unsent() == 0);
  CHECK(queue.empty());
}

TEST_CASE("a shared frame lives as long as somebody waits to send it") {
  const auto bytes = std::make_shared<const std::string>("shared");
  const std::weak_ptr<const std::string> watch = bytes;
  SendQueue a, b;
  {
    const FrameRef frame(bytes);
    a.push(frame);
    b.push(frame);
  }
  a.consume(6);
  CHECK(watch.use_count() == 2);  // ours and the one handle of both queues
  b.consume(6);
  CHECK(watch.use_count() == 1);
}

}  // namespace
}  // namespace rt::net
