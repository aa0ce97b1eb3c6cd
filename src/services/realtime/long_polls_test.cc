#include "services/realtime/long_polls.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "protocol/json/value.h"
#include "testing/one_worker.h"

namespace rt::realtime {
namespace {

// Called once for each time that all mails before it were delivered, until it says false.
class Between final : public net::Mail {
 public:
  Between(net::Worker& worker, std::function<bool()> call) : worker_(worker), call_(std::move(call)) {}
  void deliver() override {
    if (!call_()) return worker_.stop();
    worker_.post(std::make_unique<Between>(worker_, std::move(call_)));
  }

 private:
  net::Worker& worker_;
  std::function<bool()> call_;
};

// The most frames, of so many of so many bytes in one POST, that were worked off before others had their turn.
std::uint64_t most_at_once(std::size_t frames, std::size_t bytes) {
  OneWorker one;
  http::Request request{.method = "POST", .headers = {{"content-type", "application/x-ndjson"}}};
  // No frames of the protocol, which are counted.
  for (std::size_t n = 0; n < frames; ++n) request.body += "[" + std::string(bytes - 1, ' ') + "\n";
  bool has_begun = false;
  bool is_answered = false;
  std::uint64_t done = 0;
  std::uint64_t most = 0;
  one.worker.post(std::make_unique<Between>(one.worker, [&] {
    if (!std::exchange(has_begun, true)) {
      one.shard.long_polls().post(one.open(), one.tenants.of_host("acme").get(), PostedFrames(std::move(request)),
                                  [&is_answered](const http::Response& response) {
                                    CHECK(response.body == R"({"status":200})");
                                    is_answered = true;
                                  });
    }
    const std::uint64_t now = one.shard.counters().malformed_frames.value();
    most = std::max(most, now - std::exchange(done, now));
    return !is_answered;
  }));
  one.worker.run();
  CHECK(done == frames);
  return most;
}

TEST_CASE("however much a client posts, others have their turn after 32 frames, 64 KiB, or a single larger one") {
  CHECK(most_at_once(100, 20) == 32);
  CHECK(most_at_once(20, 30'000) == 3);  // the third begins before 64 KiB are done
  CHECK(most_at_once(20, 70'000) == 1);
  CHECK(most_at_once(3, 2'000'000) == 1);
}

TEST_CASE("what waits for polls leaves presence so much less room for states") {
  OneWorker one;
  one.worker.post(std::make_unique<Between>(one.worker, [&] {
    one.open();
    const std::size_t room = one.node.config.presence_queue_bytes_max;
    CHECK(one.shard.presence().has_room(0, room - 1000));
    const net::FrameRef message(std::string(2000, 'x'));
    one.shard.long_polls().send({0 | kLongPollSlot, 1}, message);  // the first session
    CHECK(!one.shard.presence().has_room(0, room - 1000));
    CHECK(one.shard.presence().has_room(0, room - 3000));
    return false;
  }));
  one.worker.run();
}

}  // namespace
}  // namespace rt::realtime
