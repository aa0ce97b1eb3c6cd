#include "services/database/message_feed.h"

#include <doctest/doctest.h>

#include <algorithm>

#include <boost/asio/awaitable.hpp>
#include <csignal>

#include "services/database/publication.h"
#include "testing/tenant_schema.h"

namespace rt::database {
namespace {

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

const PostgresCluster& cluster() { return PostgresCluster::shared(); }
void send(const std::string& event) { cluster().sql("SELECT realtime.send('{\"n\": 1.10}', '" + event + "', 'room')"); }
// In as many messages, which no compression makes smaller.
void send_megabytes(int count) {
  cluster().sql(
      "SELECT realtime.send(jsonb_build_object('x', (SELECT string_agg(md5(random()::text), '') FROM "
      "generate_series(1, 31250) WHERE n > 0)), 'large', 'room') FROM generate_series(1, " +
      std::to_string(count) + ") n");
}
std::string slots() { return cluster().sql("SELECT count(*) FROM pg_replication_slots"); }

MessageFeedConfig quick() {
  return {.resume_window = milliseconds(0),
          .resume_grace = milliseconds(0),
          .status_interval = milliseconds(200),
          .retry = {milliseconds(20), milliseconds(100)}};
}

// A feed and who listens to it.
struct Listener {
  explicit Listener(MessageFeedConfig how = quick()) : config(std::move(how)) {
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
    settings.connection = PostgresLoop::settings();
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

}  // namespace

TEST_CASE("a message is told as it is stored, to the topic and with the id of its row") {
  Listener listener;
  listener.until_streaming();
  send("said");
  listener.until_told({"said"});
  const StoredBroadcast& told = listener.last;
  CHECK(told.tenant == "acme");
  CHECK(told.topic == "room");
  CHECK(told.privacy == Privacy::kPrivate);
  CHECK(told.kind == StoredBroadcast::Kind::kJson);
  CHECK(told.id == cluster().sql("SELECT id FROM realtime.messages"));
  CHECK(told.payload == cluster().sql("SELECT payload FROM realtime.messages"));
  CHECK(told.payload.find("1.10") != std::string::npos);
  HistogramCounts counts;
  listener.times.since_commit.add_to(counts);
  CHECK(counts.total() == 1);
}

TEST_CASE("what is rolled back, updated or deleted is told to nobody, and rows of a transaction come in their order") {
  Listener listener;
  listener.until_streaming();
  cluster().sql("BEGIN; SELECT realtime.send('{}', 'undone', 'room'); ROLLBACK");
  cluster().sql(
      "SELECT realtime.send('{}', e, 'room') FROM unnest(ARRAY['one', 'two', 'three']) e; UPDATE realtime.messages SET "
      "event = 'changed'; DELETE FROM realtime.messages; TRUNCATE realtime.messages");
  send("four");
  listener.until_told({"one", "two", "three", "four"});
}

TEST_CASE("rows that cannot be broadcast are skipped with the reason, and those behind them are told") {
  Listener listener;
  listener.until_streaming();
  cluster().sql(
      "INSERT INTO realtime.messages (topic, extension, event, payload) VALUES ('room', 'broadcast', NULL, '{}'), "
      "('room', 'broadcast', 'e', NULL)");
  send("said");
  listener.until_told({"said"});
  CHECK(listener.counters.skipped.value() == 2);
  CHECK(listener.log.all.find("UnableToBroadcastChanges: :event_missing") != std::string::npos);
  CHECK(listener.log.all.find("UnableToBroadcastChanges: :payload_missing") != std::string::npos);
  listener.is_over_limit = true;
  send("too much");
  listener.loop.until([&] { return listener.counters.skipped.value() == 3; });
  CHECK(listener.log.all.find("UnableToBroadcastChanges: :too_many_requests") != std::string::npos);
}

TEST_CASE("what is committed while the stream is down is told once, in order, before what comes after") {
  Listener listener;
  listener.until_streaming();
  send("before");
  listener.until_told({"before"});
  listener.lose_stream();
  send("one");
  send("two");
  listener.until_streaming();
  send("after");
  listener.until_told({"before", "one", "two", "after"});
  CHECK(listener.log.has("ReplicationConnectionDown"));
  CHECK(slots() == "1");
}

TEST_CASE("a gap is filled with the newest rows, as many as one wants, or none [B-026]") {
  for (const std::size_t rows_max : {std::size_t{2}, std::size_t{0}}) {
    MessageFeedConfig config = quick();
    config.gap_rows_max = rows_max;
    config.retry = {milliseconds(500), milliseconds(500)};  // time for rows that nobody sees
    Listener listener(config);
    listener.until_streaming();
    listener.lose_stream();
    for (const char* event : {"one", "two", "three"}) send(event);
    listener.until_streaming();
    send("after");
    if (rows_max == 0) {
      listener.until_told({"after"});
    } else {
      listener.until_told({"two", "three", "after"});
    }
  }
}

TEST_CASE("a message of a time that lies ahead hides none of those that come after it") {
  Listener listener;
  listener.until_streaming();
  cluster().sql(
      "INSERT INTO realtime.messages (topic, extension, event, payload, private, inserted_at) VALUES ('room', "
      "'broadcast', 'ahead', '{}', true, now() AT TIME ZONE 'utc' + interval '1 day')");
  listener.until_told({"ahead"});
  listener.lose_stream();
  send("one");
  listener.until_streaming();
  listener.until_told({"ahead", "one"});
}

TEST_CASE("workers that do not keep up are waited for, and nothing is lost") {
  Listener listener;
  listener.until_streaming();
  listener.has_room = false;
  cluster().sql("SELECT realtime.send('{}', 'e', 'room') FROM generate_series(1, 300)");
  listener.loop.until([&] { return listener.when_room != nullptr; });
  const std::size_t told = listener.events.size();
  CHECK(told <= 1);
  listener.has_room = true;
  listener.when_room();
  listener.loop.until([&] { return listener.events.size() == 300; });
}

TEST_CASE("a server that gives no sign of life is left for a new stream [B-029]") {
  MessageFeedConfig config = quick();
  config.silence_max = milliseconds(1'000);
  Listener listener(config);
  listener.until_streaming();
  const int pid = listener.walsender();
  REQUIRE(kill(pid, SIGSTOP) == 0);
  listener.loop.until([&] { return listener.log.has("ReplicationConnectionWatchdogTimeout"); });
  send("said");
  listener.until_told({"said"});
  REQUIRE(kill(pid, SIGCONT) == 0);
}

TEST_CASE(
    "a publication that has another table is made again, and so is one that was dropped under the stream [D-030]") {
  cluster().sql("CREATE TABLE IF NOT EXISTS public.foreign_table (id int)");
  const std::string name(kMessagesPublication);
  const std::string tables =
      "SELECT DISTINCT schemaname || '.' || regexp_replace(tablename, '_.*', '') FROM "
      "pg_publication_tables WHERE pubname = '" +
      name + "'";
  Listener listener;
  listener.until_streaming();
  CHECK(cluster().sql(tables) == "realtime.messages");
  const std::string oid = cluster().sql("SELECT oid FROM pg_publication WHERE pubname = '" + name + "'");
  listener.lose_stream();
  listener.until_streaming();
  CHECK(cluster().sql("SELECT oid FROM pg_publication WHERE pubname = '" + name + "'") == oid);

  cluster().sql("ALTER PUBLICATION " + name + " ADD TABLE public.foreign_table");
  cluster().sql("INSERT INTO public.foreign_table VALUES (1)");
  send("one");
  listener.until_told({"one"});
  CHECK(listener.log.all.find("Unexpected relation on schema 'public' and table 'foreign_table'") != std::string::npos);
  listener.lose_stream();
  listener.until_streaming();
  CHECK(cluster().sql(tables) == "realtime.messages");
  CHECK(listener.log.all.find("was made again") != std::string::npos);

  cluster().sql("DROP PUBLICATION " + name);
  send("two");
  listener.loop.until([&] { return cluster().sql(tables) == "realtime.messages"; });
  listener.until_streaming();
  send("three");
  listener.until_told({"one", "two", "three"});
}

TEST_CASE("a durable slot keeps what was not delivered, and tells it to those who came back [D-033]") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  Listener listener(config);
  listener.until_streaming();
  send("delivered");
  listener.until_told({"delivered"});
  const std::string confirmed =
      "SELECT confirmed_flush_lsn >= '" + cluster().sql("SELECT pg_current_wal_lsn()") + "' FROM pg_replication_slots";
  listener.loop.until([&] { return cluster().sql(confirmed) == "t"; });
  listener.holds = true;
  send("on its way");
  listener.until_told({"delivered", "on its way"});
  listener.end();
  CHECK(cluster().sql("SELECT temporary, active FROM pg_replication_slots") == "f|f");
  send("nobody there");

  listener.events.clear();
  listener.memory = std::make_shared<FeedMemory>();  // as after a restart
  listener.users = 0;
  listener.begin();
  listener.loop.until(
      [&] { return cluster().sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "1"; });
  CHECK(listener.events.empty());
  CHECK(!listener.is_streaming);
  listener.users = 1;
  listener.until_told({"on its way", "nobody there"});
  listener.end(MessageFeed::Slot::kIsDropped);
  CHECK(slots() == "0");
}

TEST_CASE("a durable slot that goes on repeats nothing that this server has delivered") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  config.resume_window = milliseconds(600'000);  // so nothing is confirmed
  Listener listener(config);
  listener.until_streaming();
  send("one");
  listener.until_told({"one"});
  listener.lose_stream();
  send("two");
  listener.until_streaming();
  send("three");
  listener.until_told({"one", "two", "three"});
  CHECK(listener.counters.recovered.value() == 0);
  listener.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE(
    "a slot is durable where the server bounds what it may keep, and one that keeps too much is replaced [B-027] "
    "[E-021]") {
  const PostgresCluster::Setting bounded(cluster(), "max_slot_wal_keep_size", "16MB");
  Listener listener;
  listener.until_streaming();
  CHECK(cluster().sql("SELECT temporary FROM pg_replication_slots") == "f");
  listener.holds = true;  // nothing is delivered any more
  const auto is_replaced = [&] { return listener.log.has("ReplicationSlotLagTooHigh"); };
  for (int megabytes = 0; megabytes < 50 && !is_replaced(); ++megabytes) {
    send_megabytes(1);
    const std::size_t told = listener.events.size();
    listener.loop.until([&] { return listener.events.size() > told || is_replaced(); });
  }
  listener.loop.until(is_replaced);
  listener.holds = false;
  listener.held.clear();
  listener.until_streaming();
  send("later");
  listener.loop.until([&] { return listener.events.back() == "later"; });
  listener.end(MessageFeed::Slot::kIsDropped);
  CHECK(slots() == "0");
}

TEST_CASE("a slot that may keep all that there is keeps it, however much that is [B-028] [E-021]") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  Listener listener(config);
  listener.until_streaming();
  listener.holds = true;
  send_megabytes(20);
  listener.loop.until([&] { return listener.events.size() == 20; });
  const std::string replies =
      "SELECT reply_time FROM pg_stat_replication WHERE pid = " + std::to_string(listener.walsender());
  for (int told = 0; told < 3; ++told) {
    const std::string before = cluster().sql(replies);
    listener.loop.until([&] { return cluster().sql(replies) != before; });
  }
  CHECK(!listener.log.has("ReplicationSlotLagTooHigh"));
  CHECK(listener.is_streaming);
  listener.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE("a session that has the lock of a durable slot is waited for, and keeps it [B-022]") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  Listener first(config);
  first.until_streaming();
  const int pid = first.walsender();
  Listener second(config);
  second.loop.until([&] { return second.log.all.find("waiting until it is free") != std::string::npos; });
  CHECK(first.walsender() == pid);
  first.end();
  second.until_streaming();
  second.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE("a name that somebody else has taken is left to him [B-022]") {
  Listener probe;
  probe.until_streaming();
  const std::string name = cluster().sql("SELECT slot_name FROM pg_replication_slots");
  probe.end();
  cluster().sql("SELECT pg_create_logical_replication_slot('" + name + "', 'test_decoding')");
  {
    Listener listener;
    listener.until_streaming();
    send("said");
    listener.until_told({"said"});
  }
  cluster().sql("SELECT pg_drop_replication_slot('" + name + "')");
}

}  // namespace rt::database
