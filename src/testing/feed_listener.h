// A feed of a tenant's messages on a real Postgres, and who listens to it. Who includes this includes
// <boost/asio/awaitable.hpp> before.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/database/message_feed.h"
#include "testing/tenant_schema.h"

namespace rt::database {

using std::chrono::milliseconds;
using testing::PostgresCluster;
using testing::PostgresLoop;

class Lines final : public Log {
 public:
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel, const LogFields& fields, std::string_view text) override {
    codes.emplace_back(fields.error_code);
    all += std::string(text) + "\n";
  }
  std::uint64_t dropped() const override { return 0; }
  void reopen() override {}
  bool has(std::string_view code) const { return std::ranges::find(codes, code) != codes.end(); }
  std::vector<std::string> codes;
  std::string all;
};

inline const PostgresCluster& cluster() { return PostgresCluster::shared(); }
inline void send(const std::string& event) {
  cluster().sql("SELECT realtime.send('{\"n\": 1.10}', '" + event + "', 'room')");
}
// In as many messages, which no compression makes smaller.
inline void send_megabytes(int count) {
  cluster().sql(
      "SELECT realtime.send(jsonb_build_object('x', (SELECT string_agg(md5(random()::text), '') FROM "
      "generate_series(1, 31250) WHERE n > 0)), 'large', 'room') FROM generate_series(1, " +
      std::to_string(count) + ") n");
}
inline std::string slots() { return cluster().sql("SELECT count(*) FROM pg_replication_slots"); }

inline MessageFeedConfig quick() {
  MessageFeedConfig out;
  out.resume_window = milliseconds(0);
  out.resume_grace = milliseconds(0);
  out.status_interval = milliseconds(200);
  out.retry = {milliseconds(20), milliseconds(100)};
  return out;
}

// A feed and who listens to it.
struct Listener {
  explicit Listener(MessageFeedConfig settings = quick()) : config(std::move(settings)) {
    testing::make_tenant_schema(loop);
    cluster().sql("DELETE FROM realtime.messages");
    record->external_id = "acme";
    sink.publish = [this](StoredBroadcast row) {
      events.push_back(row.event);
      if (holds) held.push_back(row.receipt);
      row.receipt.reset();
      last = std::move(row);
    };
    sink.events_are_over_limit = [this](std::string_view) { return is_over_limit; };
    sink.may_publish = [this] { return has_room; };
    sink.when_may_publish = [this](std::function<void()> then) { when_room = std::move(then); };
    begin();
  }
  ~Listener() {
    if (feed) end();
    cluster().sql("DELETE FROM realtime.messages");
  }

  void begin() {
    const MessageFeed::Parts parts{.surroundings = loop.surroundings,
                                   .clock = clock,
                                   .random = random,
                                   .log = log,
                                   .config = config,
                                   .sink = sink,
                                   .counters = counters,
                                   .find = [this](std::string_view) { return record; },
                                   .users = [this](std::string_view) { return users; }};
    TenantSettings settings;
    settings.connection = how;
    loop.on_loop([&] { feed = std::make_unique<MessageFeed>(parts, "acme", settings, memory, is_streaming, times); });
  }
  void end(MessageFeed::Slot slot = MessageFeed::Slot::kStays) {
    loop.run(feed->stop(slot, std::make_shared<postgres::Cancellation>()));
    feed.reset();
  }
  void until_streaming() {
    loop.until([&] { return is_streaming.load(); });
  }
  void until_told(std::vector<std::string> what) {
    loop.until([&] { return events.size() >= what.size(); });
    CHECK(events == what);
  }
  int walsender() {
    return std::stoi(
        cluster().sql("SELECT active_pid FROM pg_replication_slots WHERE active AND slot_name ~ 'realtime'"));
  }
  void lose_stream() {
    const auto lost = counters.lost.value();
    cluster().sql("SELECT pg_terminate_backend(" + std::to_string(walsender()) + ")");
    loop.until([&] { return counters.lost.value() > lost; });
  }

  PostgresLoop loop;
  SystemClock clock;
  SystemRandom random;
  Lines log;
  const MessageFeedConfig config;
  postgres::ConnectionSettings how = PostgresLoop::settings();
  MessageSink sink;
  MessageFeedCounters counters;
  std::shared_ptr<TenantRecord> record = std::make_shared<TenantRecord>();
  std::int64_t users = 1;
  std::shared_ptr<FeedMemory> memory = std::make_shared<FeedMemory>();
  std::atomic<bool> is_streaming{false};
  MessageTimes times;
  bool is_over_limit = false;
  bool has_room = true;
  bool holds = false;  // what it was given
  std::vector<std::shared_ptr<const void>> held;
  std::function<void()> when_room;
  std::vector<std::string> events;
  StoredBroadcast last;
  std::unique_ptr<MessageFeed> feed;
};

}  // namespace rt::database
