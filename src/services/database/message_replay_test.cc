#include "services/database/message_replay.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>

#include "testing/tenant_schema.h"

namespace rt::database {
namespace {

using testing::PostgresCluster;
using testing::PostgresLoop;
using Payloads = std::vector<std::string>;

std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

constexpr std::size_t kRoom = 1'000'000;

struct Archive {
  explicit Archive(const MessageReplayConfig& config = {}) {
    testing::make_tenant_schema(loop);
    sql("DELETE FROM realtime.messages");
    pool = std::make_unique<postgres::Pool>(loop.surroundings, PostgresLoop::settings(), postgres::PoolConfig{}, clock,
                                            random);
    replay = std::make_unique<MessageReplay>(loop.io, *pool, config, room, clock, counters, times,
                                             [this] { return has_turn; });
  }
  ~Archive() {
    loop.on_loop([&] { replay->close(); });
    loop.run(pool->stop());
    loop.run(replay->drained());
  }

  // Answers come in any order.
  void ask(ReplayQuestion question) {
    const std::size_t place = answers.size();
    answers.emplace_back();
    loop.on_loop([&] {
      replay->ask(std::move(question), [this, place](ReplayAnswer answer) { answers[place] = std::move(answer); });
    });
  }
  const ReplayAnswer& answer() {
    loop.until([&] { return std::ranges::all_of(answers, [](const auto& one) { return one.has_value(); }); });
    return *answers.back();
  }
  const ReplayAnswer& told(std::int64_t limit = 25, std::int64_t since = 0, std::size_t bytes_max = 100'000) {
    ask({.topic = "t", .since = since, .limit = limit, .bytes_max = bytes_max});
    return answer();
  }
  Payloads payloads(std::int64_t limit = 25, std::int64_t since = 0, std::size_t bytes_max = 100'000) {
    const ReplayAnswer& said = told(limit, since, bytes_max);
    REQUIRE_MESSAGE(said.has_value(), said.error().text);
    Payloads out;
    for (const StoredMessage& message : said->messages) out.push_back(message.payload);
    return out;
  }

  PostgresLoop loop;
  SystemClock clock;
  SystemRandom random;
  std::shared_ptr<ReplayRoom> room = std::make_shared<ReplayRoom>(kRoom);
  ReplayCounters counters;
  ReplayTimes times;
  bool has_turn = true;
  std::unique_ptr<postgres::Pool> pool;
  std::unique_ptr<MessageReplay> replay;
  std::vector<std::optional<ReplayAnswer>> answers;
};

void insert(const std::string& values) {
  sql("INSERT INTO realtime.messages (topic, extension, event, private, payload, inserted_at) VALUES " + values);
}
std::string row(const std::string& payload, const std::string& when = "now() AT TIME ZONE 'UTC'") {
  return "('t', 'broadcast', 'e', true, '" + payload + "', " + when + ")";
}

TEST_CASE("the newest of the stored messages are told, the oldest first, also those of one moment [B-033] [P-140]") {
  Archive archive;
  insert(row("3") + "," + row("4") + "," + row("5"));
  insert(row("2", "now() AT TIME ZONE 'UTC' - interval '1 second'"));
  insert(row("1", "now() AT TIME ZONE 'UTC' - interval '20 hours'"));
  CHECK(archive.payloads() == Payloads{"1", "2", "3", "4", "5"});
  CHECK(archive.payloads(2) == Payloads{"4", "5"});
  const StoredMessage& last = archive.told(1)->messages.front();
  CHECK(last.id == sql("SELECT id FROM realtime.messages WHERE payload = '5'"));
  CHECK(last.event == "e");
  CHECK(last.kind == StoredBroadcast::Kind::kJson);
}

TEST_CASE("what was not sent to this topic, privately, as a broadcast, since then and by now is not told [B-034]") {
  Archive archive;
  const std::string now = "now() AT TIME ZONE 'UTC'";
  insert("('t2', 'broadcast', 'e', true, '1', " + now + "), ('t', 'presence', 'e', true, '2', " + now +
         "), ('t', 'broadcast', 'e', false, '3', " + now + "), ('t', 'broadcast', NULL, true, '4', " + now +
         "), ('t', 'broadcast', 'e', true, NULL, " + now + ")");
  insert(row("6", "now() AT TIME ZONE 'UTC' + interval '2 minutes'") + "," +
         row("7", "now() AT TIME ZONE 'UTC' + interval '30 seconds'") + "," +
         row("8", "date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 millisecond'"));
  const std::int64_t eight =
      std::stoll(sql("SELECT 1000 * extract(epoch FROM date_trunc('day', now() AT TIME ZONE 'UTC'))::bigint + 1"));
  CHECK(archive.payloads(25, eight) == Payloads{"8", "7"});
  CHECK(archive.payloads(25, eight + 1) == Payloads{"7"});
  for (const std::int64_t since : {-62'167'219'200'000, 253'402'300'799'999}) CHECK(archive.told(25, since));
}

TEST_CASE("JSON is told as the database writes it, and bytes as they are [B-038]") {
  Archive archive;
  insert(row(R"({"b": 1.10, "a": [null]})"));
  CHECK(archive.payloads() == Payloads{sql("SELECT payload::text FROM realtime.messages")});
  sql("DELETE FROM realtime.messages; ALTER ROLE ALL SET bytea_output = 'escape'");
  sql("SELECT realtime.send_binary('\\x00ff5c27', 'b', 't')");
  const auto said = archive.told();
  sql("ALTER ROLE ALL RESET bytea_output");
  REQUIRE(said->messages.size() == 1);
  CHECK(said->messages[0].payload == std::string("\0\xff\\'", 4));
  CHECK(said->messages[0].kind == StoredBroadcast::Kind::kBinary);
}

TEST_CASE("what somebody else has put into the search path is not asked") {
  Archive archive;
  insert(row("1"));
  sql("CREATE SCHEMA trap; CREATE FUNCTION trap.timezone(text, timestamptz) RETURNS timestamp LANGUAGE sql AS "
      "$$ SELECT 'infinity'::timestamp $$; ALTER DATABASE postgres SET search_path = trap, pg_catalog");
  insert(row("2", "now() AT TIME ZONE 'UTC' + interval '2 minutes'"));
  const Payloads said = archive.payloads();
  sql("ALTER DATABASE postgres RESET search_path; DROP SCHEMA trap CASCADE");
  CHECK(said == Payloads{"1"});
}

TEST_CASE("of more than may be told at once the oldest are left out, and it is known how many") {
  Archive archive;
  insert(row("\"" + std::string(400, 'a') + "\"") + "," + row("\"" + std::string(500, 'b') + "\"") + "," +
         row("\"" + std::string(400, 'c') + "\""));
  const auto& cut = archive.told(25, 0, 1'000);
  REQUIRE(cut);
  CHECK(cut->messages.size() == 2);
  CHECK(cut->left_out == 1);
  CHECK(archive.told(25, 0, 100)->messages.empty());
  CHECK(archive.told(25, 0, 100)->left_out == 3);
}

TEST_CASE("nobody is told old messages while policies are being asked, and who waits too long is told so") {
  Archive archive({.queue_target = std::chrono::milliseconds(300)});
  insert(row("1"));
  archive.has_turn = false;
  archive.ask({.topic = "t", .since = 0, .limit = 1, .bytes_max = 1'000});
  CHECK(archive.answer().error().kind == RightsFaultKind::kPoolExhausted);
  CHECK(archive.counters.given_up.value() == 1);
  archive.ask({.topic = "t", .since = 0, .limit = 1, .bytes_max = 1'000});
  archive.has_turn = true;
  archive.loop.on_loop([&] { archive.replay->serve(); });
  CHECK(archive.answer()->messages.size() == 1);
}

TEST_CASE("more than a bounded number cannot wait, and an end answers all who do") {
  Archive archive({.waiting_max = 2});
  archive.has_turn = false;
  for (int i = 0; i < 3; ++i) archive.ask({.topic = "t", .since = 0, .limit = 1, .bytes_max = 1'000});
  REQUIRE(archive.answers[2]);
  CHECK(archive.answers[2]->error().kind == RightsFaultKind::kPoolExhausted);
  CHECK(archive.counters.refused.value() == 1);
  CHECK(!archive.replay->is_idle());
  archive.loop.on_loop([&] { archive.replay->close(); });
  CHECK(archive.answers[0]->error().kind == RightsFaultKind::kUnavailable);
  CHECK(archive.answers[1]->error().kind == RightsFaultKind::kUnavailable);
  CHECK(archive.replay->is_idle());
}

TEST_CASE("messages on their way have room only while others are not, and who gets none in time is told so") {
  Archive archive({.queue_target = std::chrono::milliseconds(300)});
  insert(row("1"));
  CHECK(archive.told(1, 0, kRoom)->messages.size() == 1);
  // The room of a small answer is small, and is held by the answer.
  CHECK(archive.room->take(kRoom) == nullptr);
  auto others = archive.room->take(kRoom - 1'000);
  REQUIRE(others);
  CHECK(archive.told(1, 0, 2'000).error().kind == RightsFaultKind::kPoolExhausted);
  archive.ask({.topic = "t", .since = 0, .limit = 1, .bytes_max = 2'000});
  others.reset();
  CHECK(archive.answer()->messages.size() == 1);
  archive.answers.clear();
  CHECK(archive.room->take(kRoom) != nullptr);
}

TEST_CASE("a replay that takes too long, or whose table is gone, is an error that says so") {
  Archive archive({.timeout = std::chrono::milliseconds(300)});
  const auto other = archive.loop.open();
  other->begin_exclusive_use();
  REQUIRE(archive.loop.run(other->run(
      {.statements = {{.sql = "BEGIN", .plan = postgres::Plan::kOnce}, {.sql = "LOCK TABLE realtime.messages"}},
       .ends = postgres::Ends::kOpen})));
  const ReplayAnswer slow = archive.told();
  CHECK_MESSAGE(slow.error().kind == RightsFaultKind::kCancelled, slow.error().text);
  REQUIRE(archive.loop.run(other->reset()));
  sql("ALTER TABLE realtime.messages RENAME TO elsewhere");
  const ReplayAnswer said = archive.told();
  sql("ALTER TABLE realtime.elsewhere RENAME TO messages");
  CHECK(said.error().text.find("realtime.messages") != std::string::npos);
}

}  // namespace
}  // namespace rt::database
