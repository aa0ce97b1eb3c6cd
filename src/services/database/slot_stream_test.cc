#include "services/database/slot_stream.h"

#include <boost/asio/awaitable.hpp>

#include "testing/slot_listener.h"

namespace rt::database {

TEST_CASE("rows of all tables of a publication come in order, with the number and the time of their transaction") {
  SlotListener listener;
  listener.until_streaming();
  cluster().sql("BEGIN; INSERT INTO public.one VALUES (1, 'undone'); ROLLBACK");
  const std::string transaction = cluster().sql(
      "INSERT INTO public.one VALUES (1), (2); INSERT INTO public.two VALUES ('a'); UPDATE public.one SET x = 'x' "
      "WHERE "
      "id = 2; DELETE FROM public.one WHERE id = 1; SELECT txid_current()");
  SlotListener::insert(3);
  cluster().sql("TRUNCATE public.one");
  listener.until_told({"I one 1", "I one 2", "I two a", "U one 2", "D one 1", "I one 3"});
  listener.loop.until([&] { return listener.reader.others == "T"; });
  const auto& told = listener.reader.told;
  const std::int64_t now = pgoutput::micros_of(listener.clock.wall());
  for (std::size_t row = 0; row < 5; ++row) {
    CHECK(told[row].transaction.id == std::stoul(transaction));
    CHECK(told[row].transaction.commit == told[0].transaction.commit);
    CHECK(told[row].transaction.committed_micros <= now);
    CHECK(told[row].transaction.committed_micros > now - 60'000'000);
  }
  CHECK(told[5].transaction.id != told[0].transaction.id);
  CHECK(told[5].transaction.commit > told[0].transaction.commit);
}

TEST_CASE("rows of a transaction are worked off together, as soon as the last is there or there is no room for more") {
  SlotStreamConfig config = SlotListener::quick();
  config.gather_max = milliseconds(20'000);
  SlotListener listener(config);
  listener.until_streaming();
  const Time began = listener.clock.now();
  cluster().sql("INSERT INTO public.one SELECT i FROM generate_series(1, 1000) i");
  SlotListener::insert(1'001);
  listener.until_told(rows_to(1'001));
  CHECK(listener.reader.batches.front() >= 1'000);
  listener.reader.taken_max = 300;
  cluster().sql("INSERT INTO public.one SELECT i FROM generate_series(1002, 2001) i");
  listener.until_told(rows_to(2'001));
  CHECK(listener.reader.batches.back() == 100);
  CHECK(listener.clock.now() - began < config.gather_max);
}

TEST_CASE("a walsender that is killed within a transaction costs a durable slot no row, and repeats none") {
  SlotListener listener;
  listener.reader.taken_max = 7;
  listener.until_streaming();
  listener.reader.holds_from = 100;
  // More than the buffers between the two hold.
  cluster().sql("INSERT INTO public.one SELECT i, repeat('x', 20000) FROM generate_series(1, 2000) i");
  listener.loop.until([&] { return listener.reader.is_held; });
  SlotListener::kill_walsender();
  listener.reader.go_on();
  listener.loop.until([&] { return listener.counters.lost.value() == 1; });
  CHECK(listener.reader.told_at_end >= 100);
  CHECK(listener.reader.told_at_end < 2'000);
  listener.until_told(rows_to(2'000));
  listener.lose_stream();
  SlotListener::insert(2'001);
  listener.until_told(rows_to(2'001));
  CHECK(listener.log.has("Down"));
  CHECK(listener.log.all.find("the stream of rows ended") != std::string::npos);
}

TEST_CASE("what a reader gives up is read again, whole, and nothing of it is confirmed before") {
  SlotListener listener;
  listener.until_streaming();
  SlotListener::insert(1);
  listener.until_told(rows_to(1));
  listener.reader.gives_up = true;
  SlotListener::insert(2);
  listener.until_told(rows_to(2));
  REQUIRE(listener.reader.given_up.size() == 1);
  CHECK(listener.reader.given_up[0].text == "I one 2");
  CHECK(listener.counters.lost.value() == 1);
  CHECK(listener.log.codes.empty());
}

TEST_CASE("a row that a reader refuses is read again, those before it are not, and the log has the reason") {
  SlotListener listener;
  listener.until_streaming();
  listener.reader.refused["I one 3"] = {.code = "Refused", .text = "not this one"};
  cluster().sql("INSERT INTO public.one SELECT i FROM generate_series(1, 5) i");
  listener.loop.until([&] { return listener.counters.lost.value() == 1; });
  CHECK(listener.reader.told_at_end == 2);
  listener.until_told(rows_to(5));
  CHECK(listener.log.has("Refused"));
}

TEST_CASE("an end that is final is followed by no other stream, and what was taken before it is told") {
  SUBCASE("before there is a slot") {
    SlotListener listener;
    listener.end(SlotStream::Slot::kIsDropped);
    listener.reader.refusal = {{.code = "Over", .text = "there is nothing to read", .is_final = true}};
    listener.begin();
    listener.loop.until([&] { return listener.stream->is_over(); });
    CHECK(listener.log.codes == std::vector<std::string>{"Over"});
    CHECK(slots() == "0");
  }
  SUBCASE("in the stream") {
    SlotListener listener;
    listener.until_streaming();
    CHECK(!listener.stream->is_over());
    listener.reader.refused["I one 2"] = {.code = "", .text = "", .is_final = true};
    cluster().sql("INSERT INTO public.one VALUES (1), (2)");
    listener.loop.until([&] { return listener.stream->is_over(); });
    CHECK(listener.told() == rows_to(1));
    CHECK(!listener.reader.is_streaming);
    CHECK(listener.log.codes.empty());
    listener.end(SlotStream::Slot::kIsDropped);
    CHECK(slots() == "0");
  }
}

TEST_CASE("work that takes longer than the server waits for a sign of life costs no stream") {
  const PostgresCluster::Setting impatient(cluster(), "wal_sender_timeout", "2s");
  SlotStreamConfig config = SlotListener::quick();
  config.status_interval = milliseconds(10'000);
  SlotListener listener(config);
  listener.until_streaming();
  const int walsender = SlotListener::walsender();
  listener.reader.holds_from = 1;
  SlotListener::insert(1);
  listener.loop.until([&] { return listener.reader.is_held; });
  const Time held_at = listener.clock.now();
  listener.loop.until([&] { return listener.clock.now() - held_at > milliseconds(5'000); });
  listener.reader.go_on();
  SlotListener::insert(2);
  listener.until_told(rows_to(2));
  CHECK(SlotListener::walsender() == walsender);
  CHECK(listener.counters.lost.value() == 0);
}

TEST_CASE("nothing is confirmed to the server before it was worked on and let go of") {
  SlotListener listener;
  listener.until_streaming();
  listener.reader.holds_from = 1;
  SlotListener::insert(1);
  const std::string first = SlotListener::position();
  listener.loop.until([&] { return listener.reader.is_held; });
  const auto is_heard = [] {  // the server has heard from us again
    return cluster().sql("SELECT reply_time FROM pg_stat_replication WHERE application_name = 'test_stream'");
  };
  for (int heard = 0; heard < 2; ++heard) {
    const std::string before = is_heard();
    listener.loop.until([&] { return is_heard() != before; });
  }
  CHECK(!SlotListener::is_confirmed(first));
  auto receipt = listener.stream->receipt();
  listener.reader.go_on();
  listener.until_told(rows_to(1));
  for (int heard = 0; heard < 2; ++heard) {
    const std::string before = is_heard();
    listener.loop.until([&] { return is_heard() != before; });
  }
  CHECK(!SlotListener::is_confirmed(first));
  receipt.reset();
  listener.loop.until([&] { return SlotListener::is_confirmed(first); });
}

TEST_CASE("a reader that wakes its stream works once more, also when it did so while it worked") {
  SlotStreamConfig config = SlotListener::quick();
  config.status_interval = milliseconds(600'000);
  SlotListener listener(config);
  listener.until_streaming();
  SlotListener::insert(1);
  listener.until_told(rows_to(1));
  listener.loop.until([&] { return SlotListener::is_confirmed(SlotListener::position()); });
  int works = listener.reader.works;
  listener.stream->wake();
  listener.loop.until([&] { return listener.reader.works > works; });
  listener.reader.holds_from = 0;
  works = listener.reader.works;
  listener.stream->wake();
  listener.loop.until([&] { return listener.reader.is_held; });
  CHECK(listener.reader.works == works + 1);
  listener.stream->wake();
  listener.reader.go_on();
  listener.loop.until([&] { return listener.reader.works == works + 2; });
}

}  // namespace rt::database
