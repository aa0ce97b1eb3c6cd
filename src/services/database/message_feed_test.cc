#include "services/database/message_feed.h"

#include <boost/asio/awaitable.hpp>
#include <csignal>

#include "services/database/publication.h"
#include "testing/feed_listener.h"

namespace rt::database {

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

TEST_CASE("rows that are too large to be told cost no memory when a gap is looked through, and hide no other") {
  MessageFeedConfig config = quick();
  config.retry = {milliseconds(2'000), milliseconds(2'000)};  // time to write them
  Listener listener(config);
  listener.until_streaming();
  listener.lose_stream();
  cluster().sql(
      "INSERT INTO realtime.messages (topic, extension, event, binary_payload, private) SELECT 'room', 'broadcast', "
      "'large', convert_to(repeat('x', 10000000), 'UTF8'), true FROM generate_series(1, 3)");
  send("small");
  listener.until_told({"small"});
}

}  // namespace rt::database
