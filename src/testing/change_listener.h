// A feed of a tenant's row changes on a real Postgres, and channels that listen to it. Who includes this includes
// <boost/asio/awaitable.hpp> before.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/database/change_feed.h"
#include "testing/feed_listener.h"

namespace rt::database {

inline ChangeFeedConfig quick_changes() {
  ChangeFeedConfig config;
  config.stream = quick();
  config.recheck = milliseconds(50);
  config.retry = milliseconds(50);
  return config;
}

struct ChangeListener {
  explicit ChangeListener(ChangeFeedConfig settings = quick_changes()) : config(std::move(settings)) {
    testing::make_tenant_schema(loop);
    cluster().sql(
        "DROP PUBLICATION IF EXISTS supabase_realtime; DROP SCHEMA IF EXISTS shop CASCADE; "
        "CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO anon, authenticated, service_role; "
        "CREATE TABLE shop.orders (id int PRIMARY KEY, owner text, total numeric); "
        "GRANT SELECT ON shop.orders TO anon, authenticated, service_role; "
        "CREATE PUBLICATION supabase_realtime FOR TABLE shop.orders");
    sink.publish = [this](ChangeBatch batch) {
      batches.push_back(batch.messages.size());
      for (ChangeMessage& message : batch.messages) {
        for (const ChangesId to : message.to) told[to.number].push_back(message.event + " " + message.payload);
        order.push_back(message.payload);
      }
    };
    sink.tell = [this](ChangesId id, ChangesNotice notice) { notices[id.number].push_back(notice.message); };
    sink.are_over_limit = [this](std::string_view) { return is_over_limit; };
    sink.may_publish = [] { return true; };
    sink.when_may_publish = [](const std::function<void()>& then) { then(); };
    tenant.connection = PostgresLoop::settings();
    begin();
  }
  ~ChangeListener() {
    if (feed) end(SlotStream::Slot::kIsDropped);
    cluster().sql(
        "DROP PUBLICATION IF EXISTS supabase_realtime; DROP SCHEMA IF EXISTS shop CASCADE; DROP EXTENSION IF EXISTS "
        "hstore");
  }

  void begin() {
    loop.on_loop([&] {
      pool =
          std::make_unique<postgres::Pool>(loop.surroundings, tenant.connection, postgres::PoolConfig{}, clock, random);
      feed = std::make_unique<ChangeFeed>(ChangeFeed::Parts{.surroundings = loop.surroundings,
                                                            .clock = clock,
                                                            .random = random,
                                                            .log = log,
                                                            .config = config,
                                                            .sink = sink,
                                                            .counters = counters,
                                                            .pool = *pool,
                                                            .superuser = "postgres"},
                                          "acme", tenant, desk, memory, meters);
    });
  }
  void end(SlotStream::Slot slot = SlotStream::Slot::kStays) {
    loop.on_loop([&] { feed->close(); });
    loop.run(pool->stop());
    loop.run(feed->stop(slot, std::make_shared<postgres::Cancellation>()));
    feed.reset();
    pool.reset();
  }

  // `claims` besides the role.
  void subscribe(std::uint64_t number, const std::vector<std::string>& entries, const std::string& role = "anon",
                 const std::string& claims = "") {
    ChangesQuestion question{.id = {0, number}, .topic = "realtime:room", .entries = {}};
    for (std::size_t i = 0; i < entries.size(); ++i)
      question.entries.push_back({static_cast<std::uint32_t>(number * 10 + i), entries[i]});
    const auto token = std::make_shared<Token>();
    token->claims.role = role;
    token->claims.json = R"({"role":")" + role + "\"" + (claims.empty() ? "" : "," + claims) + "}";
    question.token = token;
    loop.on_loop([&] {
      CHECK(desk.put(std::move(question)));
      feed->subscribe({0, number});
    });
  }
  void unsubscribe(std::uint64_t number) {
    loop.on_loop([&] {
      desk.remove({0, number});
      feed->unsubscribe({0, number});
    });
  }
  void until_notices(std::uint64_t number, std::size_t count) {
    loop.until([&] { return notices[number].size() >= count; });
  }
  void until_subscribed(std::uint64_t number) {
    loop.until([&] { return !notices[number].empty() && notices[number].back() == "Subscribed to PostgreSQL"; });
  }
  void until_told(std::uint64_t number, std::size_t count) {
    const auto seen = [&] {
      std::string out = log.all;
      for (const std::string& payload : order) out += payload + "\n";
      return out;
    };
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    loop.until([&] { return told[number].size() >= count || std::chrono::steady_clock::now() > deadline; });
    CHECK_MESSAGE(told[number].size() >= count, seen());
  }
  static bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
  void end_sessions_of(const std::string& application) {
    cluster().sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '" + application +
                  "'");
  }

  PostgresLoop loop;
  SystemClock clock;
  SystemRandom random;
  Lines log;
  const ChangeFeedConfig config;
  TenantSettings tenant;
  ChangeSink sink;
  ChangeFeedCounters counters;
  ChangeMeters meters;
  ChangeDesk desk;
  std::shared_ptr<SlotMemory> memory = std::make_shared<SlotMemory>();
  bool is_over_limit = false;
  std::vector<std::size_t> batches;
  std::vector<std::string> order;  // payloads of all messages
  std::map<std::uint64_t, std::vector<std::string>> told;
  std::map<std::uint64_t, std::vector<std::string>> notices;
  std::unique_ptr<postgres::Pool> pool;
  std::unique_ptr<ChangeFeed> feed;
};

}  // namespace rt::database
