#include "services/realtime/stored_broadcast.h"

#include <doctest/doctest.h>

#include <functional>
#include <future>
#include <thread>

#include "domain/channels/replay.h"
#include "testing/one_worker.h"

namespace rt::realtime {
namespace {

const std::string kId = "6b1f2c1e-3d7a-4c55-9a0b-2f8f3f0d9a11";

class Call final : public net::Mail {
 public:
  explicit Call(std::function<void()> call) : call_(std::move(call)) {}
  void deliver() override { call_(); }

 private:
  const std::function<void()> call_;
};

// A member of the topic `a` with these rights. The worker runs on a thread of its own.
struct Members : OneWorker {
  explicit Members(Privacy privacy, const Rights& rights = Rights::all()) {
    in_loop([&] {
      poll_token = open();
      seat.emplace(shard.topics(), TopicKey{"acme", privacy, "realtime:a"}, std::uint64_t{1} << 32 | kLongPollSlot,
                   channels::FrameForm{});
      seat->set_rights(rights);
    });
  }
  ~Members() {
    in_loop([this] { seat.reset(); });
    worker.stop();
    loop.join();
  }

  void in_loop(const std::function<void()>& call) {
    std::promise<void> done;
    worker.post(std::make_unique<Call>([&] {
      call();
      done.set_value();
    }));
    done.get_future().wait();
  }
  static StoredBroadcast row(std::string payload, Privacy privacy = Privacy::kPrivate) {
    return {.tenant = "acme",
            .topic = "a",
            .privacy = privacy,
            .event = "e",
            .payload = std::move(payload),
            .id = kId,
            .receipt = {}};
  }
  // What waits for the member's next poll; empty: nothing.
  std::string told() {
    const auto body = std::make_shared<std::string>();
    in_loop([&] {
      LongPolls::Answer answer = [body](const http::Response& response) { *body = response.body; };
      CHECK(shard.long_polls().poll(poll_token, tenants.known("acme").get(), {}, answer));
    });
    in_loop([] {});  // behind the mail that answers polls
    return *body;
  }
  std::uint64_t events() { return tenants.known("acme")->events.total(); }

  std::string poll_token;
  std::optional<channels::Seat> seat;
  std::thread loop{[this] { worker.run(); }};
};

TEST_CASE("rows reach the members of their topic in order, each counts once and once more for each member [B-008]") {
  Members members(Privacy::kPrivate, {.broadcast_read = true});
  publish_stored(members.node, Members::row("1.10"));
  publish_stored(members.node, Members::row("[2]"));
  const std::string told = members.told();
  const std::size_t first = told.find(R"(\"payload\":1.10)");
  CHECK(first != std::string::npos);
  CHECK(told.find(R"(\"payload\":[2])") > first);
  CHECK(told.find(R"(\"payload\":[2])") != std::string::npos);
  CHECK(members.events() == 4);
  CHECK(members.shard.counters().published.value() == 2);
}

TEST_CASE("private rows are for those who may read broadcasts, public ones for public channels [B-016]") {
  Members blind(Privacy::kPrivate, {.broadcast_read = false, .presence_read = true});
  publish_stored(blind.node, Members::row("1"));
  CHECK(blind.told().empty());
  CHECK(blind.events() == 1);

  Members outside(Privacy::kPublic);
  publish_stored(outside.node, Members::row("1"));
  publish_stored(outside.node, Members::row("2", Privacy::kPublic));
  CHECK(outside.told().find(R"(\"payload\":2)") != std::string::npos);
  CHECK(outside.events() == 3);
}

TEST_CASE("a receipt is held until the last member was told") {
  Members members(Privacy::kPrivate, {.broadcast_read = true});
  StoredBroadcast row = Members::row("1");
  auto receipt = std::make_shared<const int>(0);
  const std::weak_ptr<const int> is_held = receipt;
  row.receipt = std::move(receipt);
  publish_stored(members.node, std::move(row));
  members.in_loop([] {});
  CHECK(!is_held.expired());
  CHECK(!members.told().empty());
  CHECK(is_held.expired());
}

TEST_CASE("a row that a channel was told already passes it by, and so do all while it waits for old ones") {
  Members members(Privacy::kPrivate, {.broadcast_read = true});
  channels::ChannelReplay replay{.is_awaited = false, .ids = {kId}};
  members.in_loop([&] { members.seat->set_replay(&replay); });
  publish_stored(members.node, Members::row("1"));
  StoredBroadcast other = Members::row("2");
  other.id.front() = '7';
  publish_stored(members.node, other);
  const std::string told = members.told();
  CHECK(told.find(R"(\"payload\":1)") == std::string::npos);
  CHECK(told.find(R"(\"payload\":2)") != std::string::npos);
  CHECK(members.events() == 3);
  members.in_loop([&] { replay.is_awaited = true; });
  publish_stored(members.node, other);
  CHECK(members.told().empty());
  CHECK(members.events() == 4);
}

TEST_CASE("rows of a tenant that nobody here knows lead to nothing") {
  OneWorker one;
  publish_stored(one.node, Members::row("1"));
  CHECK(one.worker.mailbox_bytes() == 0);
  CHECK(!events_are_over_limit(one.node, "acme"));
}

TEST_CASE("a tenant whose events have reached their limit is known by that") {
  Members members(Privacy::kPrivate);
  const auto tenant = members.tenants.known("acme");
  CHECK(!events_are_over_limit(members.node, "acme"));
  REQUIRE(tenant->events.claim(1));
  tenant->events.add(0, 100);
  tenant->events.tick(1);
  CHECK(events_are_over_limit(members.node, "acme"));
}

TEST_CASE("feeds wait while too much is on its way to a worker, and go on when it has come through that") {
  OneWorker one;
  int went_on = 0;
  when_may_publish(one.node, [&] { ++went_on; });
  CHECK(went_on == 1);
  one.worker.post(std::make_unique<Call>([] {}), net::Mailbox::kHighWaterBytes);
  CHECK(may_publish(one.node));
  one.worker.post(std::make_unique<Call>([] {}), 1);
  CHECK(!may_publish(one.node));
  when_may_publish(one.node, [&] { ++went_on; });
  CHECK(went_on == 1);
  one.worker.stop();
  one.worker.run();
  CHECK(went_on == 2);
  CHECK(may_publish(one.node));
}

}  // namespace
}  // namespace rt::realtime
