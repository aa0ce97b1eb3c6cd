#include <boost/asio/awaitable.hpp>

#include "services/database/publication.h"
#include "testing/feed_listener.h"
#include "testing/walsender_crowd.h"

namespace rt::database {
namespace {

MessageFeedConfig durable() {
  MessageFeedConfig config = quick();
  config.slot_mode = SlotMode::kDurable;
  config.poll_for = milliseconds(1'000);
  return config;
}

}  // namespace

TEST_CASE("without a walsender what a durable slot kept is told, and then what comes, by walsender or not [B-023]") {
  Listener listener(durable());
  listener.until_streaming();
  listener.end();
  send("backlog");
  listener.memory = std::make_shared<FeedMemory>();
  testing::WalsenderCrowd crowd(listener.loop);
  listener.begin();
  listener.until_told({"backlog"});
  CHECK(listener.log.has("ReplicationMaxWalSendersReached"));
  CHECK(listener.counters.polling.value() == 1);
  send("live");
  listener.until_told({"backlog", "live"});
  crowd.leave();
  listener.loop.until([&] { return listener.is_streaming && listener.counters.polling.value() == 0; });
  send("later");
  listener.until_told({"backlog", "live", "later"});
  listener.end(MessageFeed::Slot::kIsDropped);
  CHECK(slots() == "0");
}

TEST_CASE("without a walsender, too, nothing that a durable slot kept is told before somebody is there") {
  Listener listener(durable());
  listener.until_streaming();
  listener.end();
  send("backlog");
  listener.memory = std::make_shared<FeedMemory>();
  listener.users = 0;
  const testing::WalsenderCrowd crowd(listener.loop);
  listener.begin();
  listener.loop.until(
      [&] { return cluster().sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "1"; });
  CHECK(listener.events.empty());
  CHECK(!listener.is_streaming);
  listener.users = 1;
  listener.until_told({"backlog"});
  listener.end(MessageFeed::Slot::kIsDropped);
}

TEST_CASE("without a walsender the publication is made all the same, and what is for others is passed") {
  Listener listener;
  listener.until_streaming();
  listener.end();
  cluster().sql("DROP PUBLICATION " + std::string(kMessagesPublication));
  listener.memory = std::make_shared<FeedMemory>();
  const testing::WalsenderCrowd crowd(listener.loop);
  listener.begin();
  listener.until_streaming();
  send("said");
  listener.until_told({"said"});
  cluster().sql("CREATE TABLE IF NOT EXISTS public.of_others (x text); INSERT INTO public.of_others VALUES ('x')");
  const std::string passed = "SELECT confirmed_flush_lsn >= '" + cluster().sql("SELECT pg_current_wal_flush_lsn()") +
                             "' FROM pg_replication_slots";
  listener.loop.until([&] { return cluster().sql(passed) == "t"; });
}

}  // namespace rt::database
