#include "services/database/tenant_database.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>

#include "testing/feed_listener.h"

namespace rt::database {
namespace {

struct Project {
  explicit Project(TenantDatabaseConfig config = {}, const postgres::ConnectionSettings& how = PostgresLoop::settings())
      : parts{.surroundings = loop.surroundings,
              .clock = clock,
              .random = random,
              .log = log,
              .migrating = migrating,
              .counters = counters,
              .config = config,
              .on_opened = {},
              .on_failed = {}} {
    testing::make_tenant_schema(loop);
    settings.connection = how;
    begin();
  }
  ~Project() {
    if (database) stop();
  }

  void begin() {
    loop.on_loop([&] {
      database = std::make_unique<TenantDatabase>(parts, "acme", settings, breakers, state,
                                                  std::make_shared<FeedMemory>(), std::make_shared<ChangeDesk>(),
                                                  std::make_shared<SlotMemory>(), [this] { ++ends; });
    });
  }
  void restart(const std::function<void(DatabaseParts&, TenantSettings&)>& change) {
    stop();
    change(parts, settings);
    begin();
  }

  void ask(std::string topic) {
    RightsQuestion question;
    question.topic = std::move(topic);
    question.claims = {.role = "service_role", .subject = "", .json = R"({"role":"service_role"})"};
    question.asked.broadcast_read = true;
    loop.on_loop([&] {
      database->ask(std::move(question), [this](RightsAnswer answer) { answers.push_back(std::move(answer)); });
    });
  }
  void until_connected() {
    loop.until([&] { return database->is_connected(); });
  }
  void stop(SlotStream::Slot slot = SlotStream::Slot::kStays) {
    loop.run(database->stop(slot, std::make_shared<postgres::Cancellation>()));
    database.reset();
  }
  int minutes_until_vacant(std::int64_t users) {
    for (int minute = 1; minute <= 100; ++minute) {
      if (database->is_vacant_after_minute(users)) return minute;
    }
    return 0;
  }

  PostgresLoop loop;
  SystemClock clock;
  SystemRandom random;
  Lines log;
  Slots migrating{loop.io, 1};
  DatabaseCounters counters;
  DatabaseParts parts;
  TenantSettings settings;
  std::shared_ptr<Breakers> breakers = std::make_shared<Breakers>();
  std::shared_ptr<DatabaseState> state = std::make_shared<DatabaseState>();
  int ends = 0;
  std::vector<RightsAnswer> answers;
  std::unique_ptr<TenantDatabase> database;
};

TEST_CASE("who asks before the database is connected waits for it") {
  Project project;
  project.ask("t");
  CHECK(project.answers.empty());
  project.loop.until([&] { return project.answers.size() == 1; });
  CHECK(project.answers[0]->broadcast_read == true);
  CHECK(project.state->is_connected);
  CHECK(project.state->partition_days_ahead == postgres::kPartitionDaysAhead);
  CHECK(project.counters.connected.value() == 1);
  project.stop();
  CHECK(project.counters.connected.value() == 0);
  CHECK_FALSE(project.state->is_connected);
}

TEST_CASE("a replay that hangs costs those who ask about rights a wait, and nothing else") {
  Project project;
  project.until_connected();
  const auto other = project.loop.open();
  other->begin_exclusive_use();
  const std::string yesterday = testing::PostgresCluster::shared().sql(
      "SELECT 'realtime.messages_' || to_char(now() AT TIME ZONE 'UTC' - interval '1 day', 'YYYY_MM_DD')");
  REQUIRE(project.loop.run(other->run(
      {.statements = {{.sql = "BEGIN"}, {.sql = "LOCK TABLE " + yesterday}}, .ends = postgres::Ends::kOpen})));
  std::optional<ReplayAnswer> replayed;
  project.loop.on_loop([&] {
    project.database->replay({.topic = "t", .since = 0, .limit = 1, .bytes_max = 1'000},
                             [&](ReplayAnswer answer) { replayed = std::move(answer); });
  });
  project.ask("t");
  project.loop.until([&] { return project.answers.size() == 1; });
  CHECK(project.answers[0]->broadcast_read == true);
  REQUIRE(replayed);
  CHECK(replayed->error().kind == RightsFaultKind::kCancelled);
  REQUIRE(project.loop.run(other->reset()));
  CHECK(project.database->is_connected());
}

TEST_CASE("stored messages are there only while the database is connected") {
  Project project;
  std::vector<ReplayAnswer> replayed;
  const auto ask = [&] {
    project.loop.on_loop([&] {
      project.database->replay({.topic = "t", .since = 0, .limit = 1, .bytes_max = 1'000},
                               [&](ReplayAnswer answer) { replayed.push_back(std::move(answer)); });
    });
  };
  ask();
  REQUIRE(replayed.size() == 1);
  CHECK(replayed[0].error().kind == RightsFaultKind::kUnavailable);
  project.until_connected();
  ask();
  CHECK(project.minutes_until_vacant(0) == 0);
  project.loop.until([&] { return replayed.size() == 2; });
  CHECK(replayed[1].has_value());
}

TEST_CASE("whoever waits for a connection to be made hears of it, and of an end before") {
  const auto waits = [](Project& project) {
    auto is_set = std::make_unique<std::optional<bool>>();
    std::shared_ptr<postgres::Event> settled;
    project.loop.on_loop([&] { settled = project.database->settling(); });
    project.loop.begin(settled->wait_until(Time::max()), *is_set);
    return std::pair(std::move(settled), std::move(is_set));
  };
  {
    Project project;
    const auto [event, is_set] = waits(project);
    project.loop.until([&] { return is_set->has_value(); });
    CHECK(project.database->is_connected());
  }
  Project project;
  const auto [event, is_set] = waits(project);
  project.stop();
  project.loop.until([&] { return is_set->has_value(); });
}

TEST_CASE("a database that is reached by IPv4 is named in the log once, and one by a socket is not") {
  const auto warnings = [](const std::string& host) {
    postgres::ConnectionSettings how = PostgresLoop::settings();
    how.host = host;
    how.tls = postgres::TlsMode::kOff;
    Project project({}, how);
    project.until_connected();
    testing::PostgresCluster::shared().sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime_connect'");
    project.ask("t");
    project.loop.until([&] { return project.answers.size() == 1; });
    return std::ranges::count(project.log.codes, "DatabaseIpVersionIsIpv4");
  };
  CHECK(warnings("127.0.0.1") == 1);
  CHECK(warnings(testing::PostgresCluster::shared().socket_directory()) == 0);
}

TEST_CASE("when nobody needs a database any more its stream ends, and the slot goes, durable as it is [B-042]") {
  Project project;
  MessageSink sink;
  sink.may_publish = [] { return true; };
  project.restart([&](DatabaseParts& parts, TenantSettings& settings) {
    parts.sink = &sink;
    parts.find = [](std::string_view) { return nullptr; };
    parts.users = [](std::string_view) { return 0; };
    settings.slot_mode = SlotMode::kDurable;
  });
  project.loop.until([&] { return project.state->is_streaming.load(); });
  const auto slots = [] { return testing::PostgresCluster::shared().sql("SELECT count(*) FROM pg_replication_slots"); };
  CHECK(slots() == "1");
  CHECK(project.minutes_until_vacant(0) == 12);
  project.stop(SlotStream::Slot::kIsDropped);
  CHECK_FALSE(project.state->is_streaming);
  CHECK(slots() == "0");
}

TEST_CASE("a connection that nobody needs is let go of after twelve minutes [T-039]") {
  Project project;
  project.until_connected();
  CHECK(project.minutes_until_vacant(1) == 0);
  CHECK(project.minutes_until_vacant(0) == 12);
  project.ask("somebody does");
  project.loop.until([&] { return project.answers.size() == 1; });
  CHECK(project.minutes_until_vacant(0) == 12);
}

TEST_CASE("a stop answers who waits, at once, whatever the database is doing") {
  Project project;
  const auto other = project.loop.open();
  other->begin_exclusive_use();
  REQUIRE(project.loop.run(other->run(
      {.statements = {{.sql = "BEGIN"}, {.sql = "LOCK TABLE realtime.schema_migrations IN ACCESS EXCLUSIVE MODE"}},
       .ends = postgres::Ends::kOpen})));
  Project held;
  held.ask("t");
  held.loop.until(
      [&] { return testing::PostgresCluster::shared().sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1"; });
  const auto began = std::chrono::steady_clock::now();
  held.stop();
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(4));
  REQUIRE(held.answers.size() == 1);
  CHECK(held.answers[0].error().kind == RightsFaultKind::kUnavailable);
}

TEST_CASE("who waits can be handed over to another database") {
  Project project;
  project.ask("t");
  std::deque<TenantDatabase::Waiting> waiting;
  project.loop.on_loop([&] { waiting = project.database->take_waiting(); });
  REQUIRE(waiting.size() == 1);
  CHECK(waiting[0].question.topic == "t");
  project.stop();
  CHECK(project.answers.empty());
}

TEST_CASE(
    "a database that cannot be reached answers all who wait with the reason, and is tried no more than three times") {
  postgres::ConnectionSettings nowhere = PostgresLoop::settings();
  nowhere.password = "another one";
  for (int attempt = 1; attempt <= 3; ++attempt) {
    Project project({}, nowhere);
    project.breakers->connecting = RecentFailures(3, std::chrono::seconds(5));
    for (int i = 1; i < attempt; ++i) project.breakers->connecting.record(project.clock.now());
    project.ask("t");
    project.loop.until([&] { return project.ends == 1; });
    REQUIRE(project.answers.size() == 1);
    CHECK(project.answers[0].error().kind == RightsFaultKind::kUnavailable);
    CHECK(project.answers[0].error().text.find("another one") == std::string::npos);
    CHECK(project.log.codes.front() == "UnableToConnectToTenantDatabase");
    CHECK(project.breakers->connecting.is_open(project.clock.now()) == (attempt == 3));
    CHECK(project.database->has_given_up());
  }
}

TEST_CASE("too many who wait for the connection are refused") {
  Project project({.waiting_max = 2});
  for (int i = 0; i < 3; ++i) project.ask("t" + std::to_string(i));
  project.loop.until([&] { return project.answers.size() == 3; });
  CHECK(project.counters.refused.value() == 1);
}

TEST_CASE("a connection that ends is opened again, and a question after it is answered") {
  Project project;
  project.ask("before");
  project.loop.until([&] { return project.answers.size() == 1; });
  testing::PostgresCluster::shared().sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime_connect'");
  project.loop.until([&] { return project.counters.lost.value() == 1; });
  CHECK_FALSE(project.database->is_connected());
  project.until_connected();
  project.ask("after");
  project.loop.until([&] { return project.answers.size() == 2; });
  CHECK(project.answers[1]->broadcast_read == true);
}

TEST_CASE("a database in which nothing can be written any more is asked again when it can be") {
  Project project;
  project.ask("before");
  project.loop.until([&] { return project.answers.size() == 1; });
  {
    const testing::PostgresCluster::Setting demoted(testing::PostgresCluster::shared(), "default_transaction_read_only",
                                                    "on");
    project.ask("refused");
    project.loop.until([&] { return project.answers.size() == 2; });
    CHECK(project.answers[1].error().kind == RightsFaultKind::kUnavailable);
    project.loop.until([&] { return !project.database->is_connected(); });
    // From then on it is told what is wrong.
    const auto says_why = [&] {
      return !project.answers.back() && project.answers.back().error().text.find("read-only (") != std::string::npos;
    };
    const Time patience = project.clock.now() + PostgresLoop::kPatience;
    while (!says_why()) {
      REQUIRE(project.clock.now() < patience);
      const std::size_t before = project.answers.size();
      project.ask("refused, too");
      project.loop.until([&] { return project.answers.size() > before; });
    }
  }
  project.until_connected();
  const std::size_t before = project.answers.size();
  project.ask("after");
  project.loop.until([&] { return project.answers.size() > before; });
  CHECK(project.answers.back()->broadcast_read == true);
  CHECK(project.ends == 0);
}

}  // namespace
}  // namespace rt::database
