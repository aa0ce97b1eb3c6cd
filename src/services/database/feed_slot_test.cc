#include <boost/asio/awaitable.hpp>

#include "services/database/publication.h"
#include "testing/feed_listener.h"

namespace rt::database {
namespace {

// A durable slot that has `backlog`, and a feed that knows nothing of it, as after a restart.
void leave_backlog(Listener& listener) {
  listener.until_streaming();
  listener.end();
  send("backlog");
  listener.events.clear();
  listener.memory = std::make_shared<FeedMemory>();
}

}  // namespace

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

TEST_CASE("an open transaction delays a new slot, and fails nothing") {
  MessageFeedConfig config = quick();
  Listener listener(config);
  listener.end();
  listener.how.lock_timeout = listener.how.statement_timeout = milliseconds(300);
  const auto other = listener.loop.open();
  other->begin_exclusive_use();
  const auto run = [&](const char* sql) {
    REQUIRE(listener.loop.run(
        other->run({.statements = {{.sql = sql, .plan = postgres::Plan::kOnce}}, .ends = postgres::Ends::kOpen})));
  };
  run("BEGIN");
  run("SELECT txid_current()");
  listener.begin();
  const std::string waits =
      "SELECT extract(epoch FROM now() - query_start) > 1 FROM pg_stat_activity WHERE application_name = "
      "'realtime_replication_connection' AND wait_event_type = 'Lock'";
  listener.loop.until([&] { return cluster().sql(waits) == "t" || !listener.log.codes.empty(); });
  CHECK(listener.log.codes.empty());
  run("COMMIT");
  listener.until_streaming();
}

TEST_CASE("a publication that is made again costs a durable slot nothing of what it kept") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  cluster().sql("CREATE TABLE IF NOT EXISTS public.foreign_table (id int)");
  Listener listener(config);
  leave_backlog(listener);
  cluster().sql("ALTER PUBLICATION " + std::string(kMessagesPublication) + " ADD TABLE public.foreign_table");
  listener.begin();
  listener.until_told({"backlog"});
  CHECK(listener.log.all.find("was made again") != std::string::npos);
  listener.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE("what was told by way of another slot hides nothing of this one") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  Listener listener(config);
  leave_backlog(listener);
  listener.memory->slot = "another";
  listener.memory->delivered_until = {~std::uint64_t{0}};
  listener.begin();
  listener.until_told({"backlog"});
  listener.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE("a read of the table that breaks off is done once more, and each row is told once") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  Listener listener(config);
  listener.until_streaming();
  const std::string slot = cluster().sql("SELECT slot_name FROM pg_replication_slots");
  listener.has_room = false;  // so that the read waits when it has begun
  cluster().sql("SELECT pg_terminate_backend(" + std::to_string(listener.walsender()) + ")");
  cluster().sql("DO $$ BEGIN FOR i IN 1..1000 LOOP BEGIN PERFORM pg_drop_replication_slot('" + slot +
                "'); EXIT; EXCEPTION WHEN object_in_use THEN PERFORM pg_sleep(0.01); END; END LOOP; END $$");
  cluster().sql("SELECT realtime.send('{}', 'missed', 'room') FROM generate_series(1, 25)");
  listener.loop.until([&] { return listener.when_room != nullptr; });
  CHECK(listener.events.size() < 25);
  cluster().sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'realtime_replication_connection'");
  listener.has_room = true;
  listener.when_room();
  listener.loop.until([&] { return listener.events.size() == 25; });
  listener.until_streaming();
  send("after");
  listener.loop.until([&] { return listener.events.size() == 26; });
  CHECK(listener.events.back() == "after");
  listener.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE("a slot that another session has the lock of is not dropped by who does not need it") {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  Listener listener(config);
  listener.until_streaming();
  const std::string name = cluster().sql("SELECT slot_name FROM pg_replication_slots");
  listener.end();
  const auto other = listener.loop.open();
  other->begin_exclusive_use();
  REQUIRE(listener.loop.run(
      other->run({.statements = {{.sql = "SELECT pg_advisory_lock(" + std::to_string(slot_lock(name)) + ")"}},
                  .ends = postgres::Ends::kOpen})));
  std::optional<postgres::Result<int>> dropped;
  const auto cancellation = std::make_shared<postgres::Cancellation>();
  listener.loop.begin(drop_slots(listener.loop.surroundings, PostgresLoop::settings(), name, cancellation), dropped);
  const std::string attempt =
      "SELECT query_start FROM pg_stat_activity WHERE application_name = 'realtime_replication_slot_teardown'";
  listener.loop.until([&] { return !cluster().sql(attempt).empty(); });
  const std::string first = cluster().sql(attempt);
  listener.loop.until([&] { return cluster().sql(attempt) != first; });
  listener.loop.on_loop([&] { cancellation->cancel(); });
  listener.loop.until([&] { return dropped.has_value(); });
  CHECK(!*dropped);
  CHECK(slots() == "1");
  REQUIRE(listener.loop.run(other->reset()));
  CHECK(listener.loop.run(drop_slots(listener.loop.surroundings, PostgresLoop::settings(), name,
                                     std::make_shared<postgres::Cancellation>())) == 1);
}

}  // namespace rt::database
