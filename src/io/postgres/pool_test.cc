#include "io/postgres/pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <random>

#include "testing/manual_clock.h"
#include "testing/postgres_loop.h"

namespace rt::postgres {
namespace {

using std::chrono::milliseconds;
using testing::only_field;
using testing::PostgresCluster;
using testing::PostgresLoop;
using testing::query;

using Reply = std::optional<BatchReply>;

struct TestPool : PostgresLoop {
  explicit TestPool(PoolConfig limits = {}, const ConnectionSettings& how = settings())
      : pool(surroundings, named(how), limits, clock, random, {},
             [this](const PgError& error) { troubles.push_back(error); }) {}
  ~TestPool() { run(pool.stop()); }

  static ConnectionSettings named(ConnectionSettings how) {
    how.application_name = "pool";
    return how;
  }
  BatchReply ask(Batch batch) { return run(pool.run(std::move(batch))); }
  // Goes on while others run.
  Reply& begin_asking(Batch batch) {
    begin(pool.run(std::move(batch)), replies.emplace_back());
    return replies.back();
  }
  void until_all_answered() {
    until([&] { return std::ranges::all_of(replies, [](const Reply& reply) { return reply.has_value(); }); });
  }
  // Those of this pool, as the server sees them.
  static std::string backends(const std::string& what) {
    return PostgresCluster::shared().sql("SELECT " + what + " FROM pg_stat_activity WHERE application_name = 'pool'");
  }
  static void terminate_all() { backends("count(pg_terminate_backend(pid))"); }

  SystemClock clock;
  SystemRandom random;
  std::deque<Reply> replies;
  std::vector<PgError> troubles;
  Pool pool;
};

PoolConfig quick(std::size_t connections) {
  return {.connections_max = connections, .reconnect = {.first = milliseconds(2), .max = milliseconds(20)}};
}

Batch sleeps() { return query("SELECT pg_sleep(60)"); }

TEST_CASE("a connection is opened when it is needed, used by all, and closed when idle") {
  TestPool test({.idle_timeout = milliseconds(100)});
  CHECK(test.pool.connections() == 0);
  for (int i = 0; i < 200; ++i) test.begin_asking(query("SELECT $1::text", {std::to_string(i)}));
  test.until_all_answered();
  for (int i = 0; i < 200; ++i) CHECK(only_field(*test.replies[static_cast<std::size_t>(i)]) == std::to_string(i));
  CHECK(test.pool.counters().opened == 1);
  CHECK(test.pool.server().version >= 150'000);
  test.until([&] { return test.pool.connections() == 0; });
  test.until([&] { return TestPool::backends("count(*)") == "0"; });
  CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
  CHECK(test.pool.counters().opened == 2);
  CHECK(test.pool.counters().lost == 0);
}

TEST_CASE("when all are busy another is opened, up to the bound") {
  TestPool test(quick(3));
  for (int i = 0; i < 30; ++i) test.begin_asking(query("SELECT pg_sleep(0.03), pg_backend_pid()"));
  test.until_all_answered();
  CHECK(test.pool.connections() > 1);
  CHECK(test.pool.connections() <= 3);
  CHECK(test.pool.counters().opened <= 3);
}

TEST_CASE("too many who wait are refused, and nobody waits for ever") {
  auto limits = quick(1);
  limits.pipeline_max = 1;
  limits.waiting_max = 2;
  limits.wait_timeout = milliseconds(1'000);
  TestPool test(limits);
  CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
  Batch slow = sleeps();
  slow.cancellation = std::make_shared<Cancellation>();
  const Reply& runs = test.begin_asking(slow);
  const Reply& waits = test.begin_asking(query("SELECT 1"));
  const Reply& waits_too = test.begin_asking(query("SELECT 1"));
  const Reply& refused = test.begin_asking(query("SELECT 1"));
  test.until([&] { return refused.has_value(); });
  CHECK(refused->error().kind == ErrorClass::kQueueFull);
  test.until([&] { return waits && waits_too; });
  CHECK((*waits).error().kind == ErrorClass::kNoConnection);
  CHECK((*waits_too).error().message == "no connection was free within 1000 ms");
  CHECK_FALSE(runs);
  test.on_loop([&] { slow.cancellation->cancel(); });
  test.until_all_answered();
  CHECK(test.pool.counters().refused == 1);
  CHECK(test.pool.counters().timed_out == 2);
  CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
}

TEST_CASE("who waits can be cancelled") {
  auto limits = quick(1);
  limits.pipeline_max = 1;
  TestPool test(limits);
  Batch slow = sleeps();
  slow.cancellation = std::make_shared<Cancellation>();
  const Reply& runs = test.begin_asking(slow);
  Batch waits = query("SELECT 1");
  waits.cancellation = std::make_shared<Cancellation>();
  const Reply& waiting = test.begin_asking(waits);
  test.until([&] { return test.pool.waiting() == 1 && test.pool.counters().opened == 1; });
  test.on_loop([&] { waits.cancellation->cancel(); });
  test.until([&] { return waiting.has_value(); });
  CHECK(waiting->error().kind == ErrorClass::kCancelled);
  CHECK_FALSE(runs);
  test.on_loop([&] { slow.cancellation->cancel(); });
  test.until_all_answered();
}

TEST_CASE("what will not mend itself is told at once, to all who wait and to who comes soon after") {
  auto how = PostgresLoop::settings();
  how.password = "wrong";
  TestPool test({.reconnect = {.first = milliseconds(60'000), .max = milliseconds(60'000)}}, how);
  for (int i = 0; i < 20; ++i) test.begin_asking(query("SELECT 1"));
  test.until_all_answered();
  for (const Reply& reply : test.replies) CHECK(reply->error().kind == ErrorClass::kAuthentication);
  CHECK(test.ask(query("SELECT 1")).error().kind == ErrorClass::kAuthentication);
  CHECK(test.pool.counters().open_failures == 1);
  CHECK(test.troubles.size() == 1);
}

TEST_CASE("a server that is away is tried again and again while somebody waits, who learns why") {
  auto how = PostgresLoop::settings();
  how.host = "127.0.0.3";
  auto limits = quick(1);
  limits.wait_timeout = milliseconds(200);
  TestPool test(limits, how);
  const auto reply = test.ask(query("SELECT 1"));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind == ErrorClass::kNoConnection);
  CHECK(reply.error().message.find("Connection refused") != std::string::npos);
  CHECK(test.pool.counters().open_failures > 3);
}

TEST_CASE("it goes on when the server is back") {
  TestPool test(quick(1));
  CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
  PostgresCluster::shared().restart();
  test.until([&] { return test.pool.connections() == 0; });
  CHECK(only_field(test.ask(query("SELECT 2"))) == "2");
}

TEST_CASE("connections that are ended at any moment cost an answer at most, and nothing is done twice") {
  constexpr std::size_t kUnderWay = 40;
  constexpr std::uint64_t kLost = 40;
  TestPool test(quick(2));
  PostgresCluster::shared().sql("CREATE TABLE done (i int)");
  const auto killer = test.open();
  std::optional<BatchReply> killed;
  const auto end_all = [&] {
    killed.reset();
    test.begin(killer->run(query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                 " WHERE application_name = 'pool'")),
               killed);
  };
  const auto seed = static_cast<std::uint32_t>(test.random.next());
  CAPTURE(seed);
  std::minstd_rand moments(seed);
  const auto succeeded = [&] {
    const auto is_success = [](const Reply& reply) { return reply && *reply; };
    return static_cast<std::size_t>(std::ranges::count_if(test.replies, is_success));
  };
  const auto under_way = [&] {
    const auto is_open = [](const Reply& reply) { return !reply; };
    return static_cast<std::size_t>(std::ranges::count_if(test.replies, is_open));
  };
  std::size_t next_end = 0;
  end_all();
  while (test.pool.counters().lost < kLost) {
    while (under_way() < kUnderWay)
      test.begin_asking(query("INSERT INTO done SELECT $1::int", {std::to_string(test.replies.size())}));
    if (killed && succeeded() >= next_end) {
      REQUIRE(*killed);
      end_all();
      next_end = succeeded() + moments() % (2 * kUnderWay);
    }
    test.turn(milliseconds(20));
  }
  test.until([&] { return killed.has_value(); });
  test.until_all_answered();
  std::size_t unknown = 0;
  for (const Reply& reply : test.replies) {
    if (*reply) continue;
    if (reply->error().outcome_unknown) ++unknown;
    CAPTURE(reply->error().message);
    CHECK(reply->error().kind == ErrorClass::kConnectionLost);
  }
  const auto count = [&](const char* what) { return std::stoul(PostgresCluster::shared().sql(what)); };
  CHECK(count("SELECT count(*) - count(DISTINCT i) FROM done") == 0);
  const std::size_t rows = count("SELECT count(*) FROM done");
  const std::size_t certain = succeeded();
  CHECK(certain > 0);
  CHECK(unknown > 0);
  CHECK(rows >= certain);
  CHECK(rows <= certain + unknown);
  MESSAGE(certain << " done, " << unknown << " unknown, of " << test.replies.size());
  PostgresCluster::shared().sql("DROP TABLE done");
}

TEST_CASE("a session that began while nothing could be written is closed, and the next one writes") {
  const auto make_read_only = [](const char* value) {
    PostgresCluster::shared().sql("BEGIN READ WRITE; ALTER DATABASE postgres SET default_transaction_read_only = " +
                                  std::string(value) + "; COMMIT");
  };
  TestPool test(quick(1));
  const Batch write = query("CREATE TABLE IF NOT EXISTS public.written (id int)");
  make_read_only("on");
  const auto refused = test.ask(write);
  make_read_only("off");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().sqlstate == "25006");
  CHECK(test.pool.open_connections() == 0);
  REQUIRE(test.troubles.size() == 1);
  CHECK(test.troubles[0].sqlstate == "25006");
  CHECK(test.ask(write));
  // What fails for its own transaction only says nothing of the session.
  Batch own = query("SELECT set_config('transaction_read_only', 'on', true)");
  own.statements.push_back({.sql = "DROP TABLE public.written"});
  const auto by_itself = test.ask(std::move(own));
  REQUIRE_FALSE(by_itself);
  CHECK(by_itself.error().sqlstate == "25006");
  CHECK(test.pool.open_connections() == 1);
}

TEST_CASE("a lease is for one alone, and the next finds a clean session") {
  TestPool test(quick(1));
  {
    const auto lease = test.run(test.pool.lease());
    REQUIRE(lease);
    const Batch settles{.statements = {{.sql = "SET search_path = nowhere"}, {.sql = "CREATE TEMP TABLE mine (i int)"}},
                        .ends = Ends::kOpen};
    REQUIRE(test.run((*lease)->run(settles)));
    const Reply& other = test.begin_asking(query("SELECT concat(current_setting('search_path'), to_regclass('mine'))"));
    CHECK(only_field(test.run((*lease)->run(query("SELECT 1")))) == "1");
    CHECK_FALSE(other);
  }
  test.until_all_answered();
  CHECK(only_field(*test.replies.front()) == "\"$user\", public");
  CHECK(test.pool.counters().opened == 1);
  CHECK(test.pool.counters().discarded == 0);
}

TEST_CASE("who wants a connection for himself gets it although others never stop") {
  TestPool test(quick(1));
  bool stop = false;
  const auto keeps_asking = [&test, &stop]() -> Task<int> {
    int asked = 0;
    while (!stop) {
      const auto reply = co_await test.pool.run(query("SELECT pg_sleep(0.001)"));
      if (reply) ++asked;
    }
    co_return asked;
  };
  std::optional<int> first;
  std::optional<int> second;
  test.begin(keeps_asking(), first);
  test.begin(keeps_asking(), second);
  CHECK(test.run(test.pool.lease()));
  stop = true;
  test.until([&] { return first && second; });
}

TEST_CASE("a leased connection that ends is replaced") {
  TestPool test(quick(1));
  {
    const auto lease = test.run(test.pool.lease());
    REQUIRE(lease);
    TestPool::terminate_all();
    CHECK(test.run((*lease)->run(query("SELECT 1"))).error().kind == ErrorClass::kConnectionLost);
    CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
  }
  CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
}

struct Table {
  Table() { PostgresCluster::shared().sql("CREATE TABLE t (i int)"); }
  ~Table() { PostgresCluster::shared().sql("DROP TABLE t"); }
  static std::string count() { return PostgresCluster::shared().sql("SELECT count(*) FROM t"); }
};

Batch inserts() { return {.statements = {{.sql = "INSERT INTO t VALUES (1)"}}, .ends = Ends::kOpen}; }

TEST_CASE("a transaction is committed if its body succeeds, else nothing of it remains") {
  TestPool test(quick(1));
  const Table table;
  const auto succeeds = [](Connection& connection) -> Task<Result<void>> {
    const auto done = co_await connection.run(inserts());
    if (!done) co_return tl::make_unexpected(done.error());
    co_return Result<void>{};
  };
  CHECK(test.run(test.pool.transaction(succeeds)));
  CHECK(Table::count() == "1");

  const auto gives_up = [](Connection& connection) -> Task<Result<void>> {
    (void)co_await connection.run(inserts());
    co_return fail(ErrorClass::kCancelled, "no longer wanted");
  };
  CHECK(test.run(test.pool.transaction(gives_up)).error().message == "no longer wanted");

  const auto overlooks_an_error = [](Connection& connection) -> Task<Result<void>> {
    (void)co_await connection.run(inserts());
    (void)co_await connection.run({.statements = {{.sql = "SELECT 1 / 0"}}, .ends = Ends::kOpen});
    co_return Result<void>{};
  };
  CHECK(test.run(test.pool.transaction(overlooks_an_error)).error().kind == ErrorClass::kServer);

  const auto is_ended = [](Connection& connection) -> Task<Result<void>> {
    (void)co_await connection.run(inserts());
    TestPool::terminate_all();
    co_return Result<void>{};
  };
  CHECK(test.run(test.pool.transaction(is_ended)).error().kind == ErrorClass::kConnectionLost);
  CHECK(Table::count() == "1");
  CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
}

TEST_CASE("a pool that stops answers everybody") {
  {
    auto limits = quick(1);
    limits.pipeline_max = 2;
    TestPool test(limits);
    CHECK(only_field(test.ask(query("SELECT 1"))) == "1");
    for (int i = 0; i < 6; ++i) test.begin_asking(sleeps());
    test.until([&] { return test.pool.waiting() == 4; });
    test.run(test.pool.stop());
    test.until_all_answered();
    std::size_t stopped = 0;
    for (const Reply& reply : test.replies) {
      REQUIRE_FALSE(*reply);
      if (reply->error().kind == ErrorClass::kStopped) ++stopped;
    }
    CHECK(stopped == 4);
    CHECK(test.ask(query("SELECT 1")).error().kind == ErrorClass::kStopped);
  }
}

TEST_CASE("a pool stops while it connects, and while it waits to try again") {
  for (const milliseconds backoff : {milliseconds(1), milliseconds(60'000)}) {
    auto how = PostgresLoop::settings();
    how.host = "127.0.0.3";
    TestPool test({.reconnect = {.first = backoff, .max = backoff}}, how);
    test.begin_asking(query("SELECT 1"));
    test.until([&] { return test.pool.counters().open_failures > 0; });
    test.run(test.pool.stop());
    CHECK(test.replies.front()->error().kind == ErrorClass::kStopped);
  }
}

}  // namespace
}  // namespace rt::postgres
