#include <boost/asio/awaitable.hpp>

#include "testing/slot_listener.h"

namespace rt::database {
namespace {

using enum SlotReader::Continuity;
using Continuities = std::vector<SlotReader::Continuity>;

std::string slot_name() { return cluster().sql("SELECT slot_name FROM pg_replication_slots"); }

}  // namespace

TEST_CASE(
    "a durable slot is new once; a stream that is lost goes on with it, and so does the next one of the process") {
  SlotListener listener;
  cluster().sql("INSERT INTO public.one VALUES (0)");
  listener.until_streaming();
  CHECK(slot_name().starts_with("realtime_test_slot_"));
  CHECK(listener.reader.continuities == Continuities{kNew});
  listener.lose_stream();
  listener.until_streaming();
  CHECK(listener.reader.continuities == Continuities{kNew, kSame});
  listener.end();
  SlotListener::insert(1);
  listener.begin();
  listener.loop.until([&] { return !listener.reader.told.empty() && listener.told().back() == "I one 1"; });
  CHECK(listener.reader.continuities == Continuities{kNew, kSame, kSame});
  CHECK(listener.counters.started.value() == 3);
}

TEST_CASE("the snapshot of a new slot has what is not streamed, and nothing of what is") {
  SlotListener listener;
  listener.end(SlotStream::Slot::kIsDropped);
  const auto told_before = listener.reader.told.size();
  for (int id = 1; id <= 10; ++id) SlotListener::insert(id);
  listener.begin();
  int inserted = 10;
  listener.loop.until([&] {  // while it is made
    SlotListener::insert(++inserted);
    return listener.reader.is_streaming;
  });
  const auto before = static_cast<std::size_t>(std::stoi(listener.reader.rows_before));
  CHECK(before >= 10);
  const std::size_t streamed = static_cast<std::size_t>(inserted) - before;
  listener.loop.until([&] { return listener.reader.told.size() >= told_before + streamed; });
  CHECK(listener.reader.told.size() == told_before + streamed);
  CHECK(listener.told().back() == "I one " + std::to_string(inserted));
}

TEST_CASE("a durable slot of an earlier process is read once somebody listens, and what it kept is told") {
  SlotListener listener;
  listener.until_streaming();
  listener.end();
  SlotListener::insert(1);
  listener.memory = std::make_shared<SlotMemory>();
  listener.reader.is_listened_to = false;
  listener.begin();
  listener.loop.until([&] { return listener.reader.continuities == Continuities{kNew, kLeft}; });
  const int waiting = std::stoi(cluster().sql(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'test_stream' AND backend_type = 'walsender'"));
  cluster().sql("SELECT pg_terminate_backend(" + std::to_string(waiting) + ")");
  // Nothing of it was read yet.
  listener.loop.until([&] { return listener.reader.continuities == Continuities{kNew, kLeft, kLeft}; });
  CHECK(listener.reader.told.empty());
  CHECK(!listener.reader.is_streaming);
  listener.reader.is_listened_to = true;
  listener.until_told(rows_to(1));
  listener.lose_stream();
  listener.until_streaming();
  CHECK(listener.reader.continuities == Continuities{kNew, kLeft, kLeft, kSame});
}

TEST_CASE("a slot that was made, and not read before its session was lost, is nobody else's") {
  SlotListener listener;
  listener.end(SlotStream::Slot::kIsDropped);
  listener.reader.continuities.clear();
  listener.reader.is_listened_to = false;
  listener.reader.on_slot_once = [] {
    cluster().sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'test_stream'");
    SlotListener::insert(1);
  };
  listener.begin();
  listener.until_told(rows_to(1));
  CHECK(listener.reader.continuities == Continuities{kNew, kSame});
  CHECK(listener.log.has("NotStarted"));
}

TEST_CASE("a temporary slot is a new one each time") {
  SlotStreamConfig config = SlotListener::quick();
  config.slot_mode = SlotMode::kTemporary;
  SlotListener listener(config);
  listener.until_streaming();
  CHECK(cluster().sql("SELECT temporary FROM pg_replication_slots") == "t");
  listener.lose_stream();
  listener.until_streaming();
  CHECK(listener.reader.continuities == Continuities{kNew, kNew});
  SlotListener::insert(1);
  listener.until_told(rows_to(1));
}

TEST_CASE("a durable slot that somebody drops, or whose changes cannot be decoded, is followed by a new one [PC-113]") {
  SlotListener listener;
  listener.until_streaming();
  SUBCASE("it is dropped") {
    const std::string slot = slot_name();
    SlotListener::kill_walsender();
    cluster().sql("SELECT pg_drop_replication_slot('" + slot + "')");
  }
  SUBCASE("its publication was not there for a while") {
    cluster().sql("DROP PUBLICATION \"Our \"\"tables\"\", all\"");
    SlotListener::insert(0);
    cluster().sql("CREATE PUBLICATION \"Our \"\"tables\"\", all\" FOR TABLE public.one, public.two");
  }
  listener.loop.until([&] { return listener.reader.continuities == Continuities{kNew, kNew}; });
  listener.until_streaming();
  SlotListener::insert(1);
  listener.until_told(rows_to(1));
  CHECK(slots() == "1");
}

TEST_CASE("a durable slot that another session has is waited for, and that is in the log once [E-024]") {
  SlotListener listener;
  listener.until_streaming();
  const std::string slot = slot_name();
  listener.end();
  const auto count = [&] { return std::ranges::count(listener.log.codes, "BeingUsed"); };
  SUBCASE("by its lock") {
    const auto other = listener.loop.open();
    other->begin_exclusive_use();
    REQUIRE(listener.loop.run(
        other->run({.statements = {{.sql = "SELECT pg_advisory_lock(" + std::to_string(slot_lock(slot)) + ")"}},
                    .ends = postgres::Ends::kOpen})));
    listener.begin();
    listener.loop.until([&] { return count() == 1; });
    const std::string asked = "SELECT query_start FROM pg_stat_activity WHERE application_name = 'test_stream'";
    const std::string first = cluster().sql(asked);
    listener.loop.until([&] { return cluster().sql(asked) != first; });
    CHECK(!listener.reader.is_streaming);
    REQUIRE(listener.loop.run(other->reset()));
  }
  SUBCASE("by reading it") {
    auto other =
        listener.loop.run(postgres::ReplicationConnection::open(listener.loop.surroundings, PostgresLoop::settings()));
    REQUIRE(other);
    REQUIRE(listener.loop.run(
        (*other)->start("START_REPLICATION SLOT \"" + slot +
                            "\" LOGICAL 0/0 (proto_version '1', publication_names '\"Our \"\"tables\"\", all\"')",
                        listener.clock.now() + std::chrono::seconds(10))));
    listener.begin();
    listener.loop.until([&] { return count() == 1; });
    CHECK(!listener.reader.is_streaming);
    (*other)->close();
  }
  listener.until_streaming();
  CHECK(count() == 1);
}

}  // namespace rt::database
