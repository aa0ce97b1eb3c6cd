#include "io/postgres/connection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>

#include "testing/postgres_loop.h"

namespace rt::postgres {
namespace {

using std::chrono::milliseconds;
using testing::only_field;
using testing::PostgresCluster;
using testing::PostgresLoop;
using testing::query;

using Reply = std::optional<BatchReply>;

Batch once(std::string sql) { return {.statements = {{.sql = std::move(sql), .plan = Plan::kOnce}}}; }

Batch rolled_back(std::vector<Statement> statements) {
  return {.statements = std::move(statements), .ends = Ends::kRolledBack};
}

std::string terminate(const Connection& connection) {
  return PostgresCluster::shared().sql("SELECT pg_terminate_backend(" +
                                       std::to_string(connection.server().backend_pid) + ")");
}

void wait_until_running(PostgresLoop& loop, const Connection& connection, const std::string& part) {
  const std::string pid = std::to_string(connection.server().backend_pid);
  loop.until([&] {
    return PostgresCluster::shared().sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid = " +
                                         pid + " AND query LIKE '%" + part + "%'") == "1";
  });
}

TEST_CASE("rows are texts, NULL is no text, and the tag tells what was done") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const auto reply = loop.run(
      connection->run(query("SELECT i, nullif(i, 2) AS other, $1::text FROM generate_series(1, 2) i", {"it's"})));
  REQUIRE(reply);
  const Rows& rows = reply->front();
  REQUIRE(rows.size() == 2);
  REQUIRE(rows.columns() == 3);
  CHECK(rows.column_name(1) == "other");
  CHECK(rows.text(0, 1) == "1");
  CHECK(rows.text(1, 0) == "2");
  CHECK(rows.text(1, 1) == std::nullopt);
  CHECK(rows.text(1, 2) == "it's");
  CHECK(rows.command_tag() == "SELECT 2");
  CHECK(loop.run(connection->run(query("SELECT 1 WHERE false")))->front().columns() == 1);
  CHECK(only_field(loop.run(connection->run(query("SELECT $1::text", {std::nullopt})))) == "NULL");
}

TEST_CASE("an error says where and what, and how to mend it") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const auto reply = loop.run(connection->run(query("SELECT lenth('x')")));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind == ErrorClass::kServer);
  CHECK(reply.error().sqlstate == "42883");
  CHECK(reply.error().message == "function lenth(unknown) does not exist");
  CHECK(reply.error().hint.find("explicit type casts") != std::string::npos);
  CHECK(reply.error().position == 8);
  CHECK(reply.error().statement == 0);
  CHECK_FALSE(reply.error().outcome_unknown);
}

TEST_CASE("a statement is prepared once, and anew when its table has changed") {
  PostgresLoop loop;
  const auto connection = loop.open();
  loop.run(connection->run(once("CREATE TEMP TABLE t AS SELECT 1 AS a")));
  for (int i = 0; i < 3; ++i) CHECK(loop.run(connection->run(query("SELECT * FROM t")))->front().columns() == 1);
  const auto prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT * FROM t'";
  CHECK(only_field(loop.run(connection->run(once(prepared)))) == "1");
  loop.run(connection->run(once("ALTER TABLE t ADD b int")));
  const auto stale = loop.run(connection->run(query("SELECT * FROM t")));
  REQUIRE_FALSE(stale);
  CHECK(stale.error().sqlstate == "0A000");
  CHECK(loop.run(connection->run(query("SELECT * FROM t")))->front().columns() == 2);
}

TEST_CASE("what cannot be prepared fails by itself, also for those who asked for it meanwhile") {
  PostgresLoop loop;
  const auto connection = loop.open();
  Reply first;
  Reply second;
  Reply other;
  loop.begin(connection->run(query("SELECT * FROM later")), first);
  loop.begin(connection->run(query("SELECT * FROM later")), second);
  loop.begin(connection->run(query("SELECT 1")), other);
  loop.until([&] { return first && second && other; });
  CHECK(first->error().sqlstate == "42P01");
  CHECK(second->error().sqlstate == "42P01");
  CHECK(only_field(*other) == "1");
  loop.run(connection->run(once("CREATE TEMP TABLE later AS SELECT 5")));
  CHECK(only_field(loop.run(connection->run(query("SELECT * FROM later")))) == "5");
}

TEST_CASE("statements beyond the bound are answered unprepared") {
  PostgresLoop loop;
  const auto connection = loop.open();
  for (std::size_t i = 0; i < Connection::kPreparedMax + 20; ++i) {
    const std::string number = std::to_string(i);
    CHECK(only_field(loop.run(connection->run(query("SELECT " + number)))) == number);
  }
  const auto count = loop.run(connection->run(once("SELECT count(*) FROM pg_prepared_statements")));
  CHECK(only_field(count) == std::to_string(Connection::kPreparedMax));
}

TEST_CASE("many batches are under way at once, and the error of one is nobody else's") {
  PostgresLoop loop;
  const auto connection = loop.open();
  std::vector<Reply> replies(300);
  for (std::size_t i = 0; i < replies.size(); ++i) {
    const std::string number = std::to_string(i);
    Batch batch = query("SELECT 100 / ($1::int % 3)", {number});
    if (i % 2 == 1) batch.ends = Ends::kRolledBack;
    loop.begin(connection->run(std::move(batch)), replies[i]);
  }
  loop.on_loop([&] { CHECK(connection->batches_under_way() > 100); });
  loop.until([&] { return std::ranges::all_of(replies, [](const Reply& reply) { return reply.has_value(); }); });
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (i % 3 == 0) {
      CHECK(replies[i]->error().sqlstate == "22012");
    } else {
      CHECK(only_field(*replies[i]) == (i % 3 == 1 ? "100" : "50"));
    }
  }
  CHECK_FALSE(connection->is_in_transaction());
}

TEST_CASE("a batch is done as a whole or not at all") {
  PostgresLoop loop;
  const auto connection = loop.open();
  loop.run(connection->run(once("CREATE TEMP TABLE kept (i int)")));
  const Batch fails{
      .statements = {{.sql = "INSERT INTO kept VALUES (1)"}, {.sql = "SELECT 1 / 0"}, {.sql = "SELECT 2"}}};
  const auto reply = loop.run(connection->run(fails));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().statement == 1);
  CHECK_FALSE(reply.error().outcome_unknown);
  CHECK(only_field(loop.run(connection->run(query("SELECT count(*) FROM kept")))) == "0");
  const Batch works{.statements = {{.sql = "INSERT INTO kept VALUES (1)"}, {.sql = "SELECT count(*) FROM kept"}}};
  CHECK(only_field(loop.run(connection->run(works))) == "1");
}

TEST_CASE("of a batch that is rolled back nothing remains, whatever it did") {
  PostgresLoop loop;
  const auto connection = loop.open();
  PostgresCluster::shared().sql("CREATE ROLE visitor");
  for (const std::string last : {"SELECT current_user", "SELECT 1 / 0"}) {
    const auto reply = loop.run(connection->run(
        rolled_back({{.sql = "CREATE TEMP TABLE gone (i int)"},
                     {.sql = "SELECT set_config('a.b', 'c', false), set_config('role', 'visitor', false)"},
                     {.sql = last}})));
    if (last == "SELECT current_user") CHECK(only_field(reply) == "visitor");
    const auto after = loop.run(connection->run(
        query("SELECT concat_ws(' ', current_user, to_regclass('gone'), nullif(current_setting('a.b', true), ''))")));
    CHECK(only_field(after) == "postgres");
  }
  CHECK(connection->is_open());
  PostgresCluster::shared().sql("DROP ROLE visitor");
}

TEST_CASE("a batch that leaves a role or a transaction behind takes its connection with it") {
  PostgresLoop loop;
  PostgresCluster::shared().sql("CREATE ROLE visitor");
  for (const std::string sql : {"SET ROLE visitor", "BEGIN", "SET client_encoding = 'latin1'"}) {
    const auto connection = loop.open();
    Reply leaves;
    Reply behind;
    loop.begin(connection->run(once(sql)), leaves);
    loop.begin(connection->run(query("SELECT current_user")), behind);
    loop.until([&] { return leaves && behind; });
    CHECK(leaves->error().message == "the batch left a transaction, a role or a setting behind");
    CHECK(behind->error().kind == ErrorClass::kConnectionLost);
    CHECK_FALSE(connection->is_open());
  }
  PostgresCluster::shared().sql("DROP ROLE visitor");
}

TEST_CASE("a statement ends after its own time-out, which the next does not have") {
  PostgresLoop loop;
  const auto connection = loop.open();
  for (const Ends ends : {Ends::kCommitted, Ends::kRolledBack}) {
    Batch slow = query("SELECT pg_sleep(60)");
    slow.ends = ends;
    slow.statement_timeout = milliseconds(50);
    const auto reply = loop.run(connection->run(slow));
    REQUIRE_FALSE(reply);
    CHECK(reply.error().kind == ErrorClass::kTimeOut);
    CHECK(reply.error().sqlstate == "57014");
    CHECK(only_field(loop.run(connection->run(query("SHOW statement_timeout")))) == "10s");
  }
}

TEST_CASE("notices are told") {
  PostgresLoop loop;
  std::vector<std::string> told;
  const auto connection = loop.open(PostgresLoop::settings(), [&](const Notice& notice) {
    told.push_back(std::string(notice.severity) + " " + std::string(notice.sqlstate) + " " +
                   std::string(notice.message));
  });
  loop.run(connection->run(once("DO $$ BEGIN RAISE WARNING 'beware of %', 'me'; END $$")));
  CHECK(told == std::vector<std::string>{"WARNING 01000 beware of me"});
}

TEST_CASE("large requests and answers pass each other") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const std::string large(1'000'000, 'x');
  std::vector<Reply> replies(20);
  for (Reply& reply : replies) loop.begin(connection->run(query("SELECT $1::text", {large})), reply);
  loop.until([&] { return std::ranges::all_of(replies, [](const Reply& reply) { return reply.has_value(); }); });
  for (const Reply& reply : replies) CHECK(only_field(*reply) == large);
  const auto refused = loop.run(connection->run(query("SELECT $1::text", {std::string(Batch::kBytesMax, 'x')})));
  CHECK(refused.error().kind == ErrorClass::kRequestTooLarge);
}

TEST_CASE("a result with too many rows or bytes is an error and is stopped on the server") {
  PostgresLoop loop;
  const auto connection = loop.open();
  Batch rows = query("SELECT generate_series(1, 2000000000)");
  rows.limits.rows = 1000;
  auto reply = loop.run(connection->run(rows));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind == ErrorClass::kResultTooLarge);
  CHECK_FALSE(reply.error().outcome_unknown);
  Batch bytes = query("SELECT repeat('x', 1000), generate_series(1, 2000000000)");
  bytes.limits.bytes = 100'000;
  reply = loop.run(connection->run(bytes));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind == ErrorClass::kResultTooLarge);
  CHECK(only_field(loop.run(connection->run(query("SELECT 1")))) == "1");
  Batch fits = query("SELECT generate_series(1, 1000)");
  fits.limits.rows = 1000;
  CHECK(loop.run(connection->run(fits))->front().size() == 1000);
}

TEST_CASE("what runs can be cancelled, and what comes after it is not hit") {
  PostgresLoop loop;
  const auto connection = loop.open();
  for (int i = 0; i < 5; ++i) {
    Batch slow = query("SELECT pg_sleep(60)");
    slow.cancellation = std::make_shared<Cancellation>();
    Reply reply;
    loop.begin(connection->run(slow), reply);
    wait_until_running(loop, *connection, "pg_sleep");
    std::vector<Reply> behind(20);
    loop.on_loop([&] { slow.cancellation->cancel(); });
    for (Reply& one : behind) loop.begin(connection->run(query("SELECT pg_sleep(0.001)")), one);
    loop.until([&] { return std::ranges::all_of(behind, [](const Reply& one) { return one.has_value(); }); });
    CHECK(reply->error().kind == ErrorClass::kCancelled);
    for (const Reply& one : behind) CHECK(one->has_value());
  }
}

TEST_CASE("a cancellation at any moment hits its own batch or nobody") {
  PostgresLoop loop;
  const auto connection = loop.open();
  for (int i = 0; i < 100; ++i) {
    Batch quick = query("SELECT pg_sleep(0.0005)");
    quick.cancellation = std::make_shared<Cancellation>();
    quick.ends = i % 2 == 0 ? Ends::kCommitted : Ends::kRolledBack;
    Reply reply;
    loop.begin(connection->run(quick), reply);
    for (int turns = 0; turns < i % 10; ++turns) {
      loop.turn(std::chrono::microseconds(i * 20));
    }
    loop.on_loop([&] { quick.cancellation->cancel(); });
    Reply next;
    loop.begin(connection->run(query("SELECT pg_sleep(0.001)")), next);
    loop.until([&] { return reply && next; });
    if (!*reply) CHECK(reply->error().kind == ErrorClass::kCancelled);
    CHECK(next->has_value());
  }
}

TEST_CASE("who is cancelled while others are behind is answered at once, and they go on") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const auto holder = loop.open();
  holder->begin_exclusive_use();
  const auto holds = [&](const char* sql) {
    return loop.run(holder->run({.statements = {{.sql = sql}}, .ends = Ends::kOpen})).has_value();
  };
  REQUIRE(holds("SELECT pg_advisory_lock(42)"));
  Batch slow = query("SELECT pg_advisory_xact_lock(42)");
  slow.cancellation = std::make_shared<Cancellation>();
  Reply first;
  Reply second;
  loop.begin(connection->run(slow), first);
  loop.begin(connection->run(query("SELECT 1")), second);
  wait_until_running(loop, *connection, "lock(42)");
  loop.on_loop([&] { slow.cancellation->cancel(); });
  loop.until([&] { return first.has_value(); });
  CHECK_FALSE(second);
  CHECK(first->error().kind == ErrorClass::kCancelled);
  CHECK(first->error().outcome_unknown);
  REQUIRE(holds("SELECT pg_advisory_unlock(42)"));
  loop.until([&] { return second.has_value(); });
  CHECK(only_field(*second) == "1");
}

TEST_CASE("a connection that is ended while nobody uses it says so") {
  PostgresLoop loop;
  const auto connection = loop.open();
  std::optional<PgError> lost;
  connection->set_on_lost([&](const PgError& error) { lost = error; });
  terminate(*connection);
  loop.until([&] { return lost.has_value(); });
  CHECK(lost->kind == ErrorClass::kConnectionLost);
  CHECK(lost->sqlstate == "57P01");
  CHECK_FALSE(connection->is_open());
  const auto reply = loop.run(connection->run(query("SELECT 1")));
  CHECK(reply.error().kind == ErrorClass::kConnectionLost);
  CHECK_FALSE(reply.error().outcome_unknown);
}

TEST_CASE("whoever waits for a connection that ends is answered, and told whether it may have been done") {
  PostgresLoop loop;
  const auto connection = loop.open();
  std::vector<Reply> replies(50);
  for (std::size_t i = 0; i < replies.size(); ++i) {
    Batch batch = query(i == 20 ? "SELECT pg_sleep(60)" : "SELECT 1");
    if (i % 2 == 1) batch.ends = Ends::kRolledBack;
    loop.begin(connection->run(batch), replies[i]);
  }
  // What has come and was not read yet is lost with the connection.
  loop.until([&] {
    return connection->batches_under_way() == 30 &&
           std::ranges::all_of(replies.begin(), replies.begin() + 20,
                               [](const Reply& reply) { return reply.has_value(); });
  });
  wait_until_running(loop, *connection, "pg_sleep");
  terminate(*connection);
  loop.until([&] { return std::ranges::all_of(replies, [](const Reply& reply) { return reply.has_value(); }); });
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (i < 20) {
      CHECK(only_field(*replies[i]) == "1");
    } else {
      CHECK(replies[i]->error().kind == ErrorClass::kConnectionLost);
      CHECK(replies[i]->error().sqlstate == "57P01");
      CHECK(replies[i]->error().outcome_unknown == (i % 2 == 0));
    }
  }
}

TEST_CASE("a connection may be closed while batches are under way") {
  PostgresLoop loop;
  auto connection = loop.open();
  Reply reply;
  loop.begin(connection->run(query("SELECT pg_sleep(60)")), reply);
  wait_until_running(loop, *connection, "pg_sleep");
  loop.on_loop([&] { connection.reset(); });
  loop.until([&] { return reply.has_value(); });
  CHECK(reply->error().kind == ErrorClass::kConnectionLost);
}

TEST_CASE("the error of one section is not that of the others") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const auto back = [] { return Statement{.sql = "ROLLBACK TO SAVEPOINT s", .runs = Runs::kInAnyCase}; };
  const auto reply =
      loop.run(connection->run_sections(rolled_back({{.sql = "CREATE TEMP TABLE t (i int)"},
                                                     {.sql = "SAVEPOINT s"},
                                                     {.sql = "INSERT INTO t VALUES (1)", .plan = Plan::kOnce},
                                                     {.sql = "SELECT 1 / 0"},
                                                     {.sql = "SELECT 'skipped'"},
                                                     back(),
                                                     {.sql = "SELECT count(*) FROM t", .plan = Plan::kOnce},
                                                     back(),
                                                     {.sql = "SELECT current_user::text"}})));
  REQUIRE(reply);
  CHECK((*reply)[2].has_value());
  CHECK((*reply)[3].error().sqlstate == "22012");
  CHECK((*reply)[3].error().statement == 3);
  CHECK((*reply)[4].error().statement == 3);
  CHECK((*reply)[6]->text(0, 0) == "0");
  CHECK((*reply)[8]->text(0, 0) == "postgres");
  CHECK(connection->is_open());
  CHECK(only_field(loop.run(connection->run(query("SELECT to_regclass('t') IS NULL")))) == "t");
}

TEST_CASE("a batch may go back to where it was, which costs no section") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const Statement back{.sql = "ROLLBACK TO SAVEPOINT s"};
  const auto reply = loop.run(connection->run(rolled_back({{.sql = "SAVEPOINT s"},
                                                           {.sql = "SELECT set_config('my.flag', 'up', false)"},
                                                           back,
                                                           {.sql = "SELECT current_setting('my.flag', true)"},
                                                           back,
                                                           {.sql = "SELECT current_user::text"}})));
  REQUIRE(reply);
  CHECK((*reply)[1].text(0, 0) == "up");
  CHECK((*reply)[3].text(0, 0).value_or("").empty());
  CHECK((*reply)[5].text(0, 0) == "postgres");
  CHECK(connection->is_open());
  const auto broken =
      loop.run(connection->run(rolled_back({{.sql = "SAVEPOINT s"}, {.sql = "SELECT 1 / 0"}, back, back})));
  REQUIRE_FALSE(broken);
  CHECK(broken.error().statement == 1);
  CHECK(connection->is_open());
}

TEST_CASE("sections whose connection is lost have one error") {
  PostgresLoop loop;
  const auto connection = loop.open();
  std::optional<SectionsReply> reply;
  loop.begin(connection->run_sections(rolled_back({{.sql = "SELECT pg_sleep(60)"}})), reply);
  wait_until_running(loop, *connection, "pg_sleep");
  terminate(*connection);
  loop.until([&] { return reply.has_value(); });
  CHECK(reply->error().kind == ErrorClass::kConnectionLost);
  CHECK_FALSE(reply->error().outcome_unknown);
}

TEST_CASE("COPY has no place in a batch") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const auto reply = loop.run(connection->run(once("COPY pg_class TO STDOUT")));
  REQUIRE_FALSE(reply);
  CHECK_FALSE(connection->is_open());
}

TEST_CASE("a reset leaves nothing of what a session can hold, and the server confirms it") {
  PostgresLoop loop;
  const auto connection = loop.open();
  PostgresCluster::shared().sql("CREATE ROLE visitor");
  const auto in_use = [](const char* sql) { return Batch{.statements = {{.sql = sql}}, .ends = Ends::kOpen}; };
  for (const char* sql :
       {"SET ROLE visitor", "SET SESSION AUTHORIZATION visitor", "SET search_path = pg_temp",
        "SET statement_timeout = 1234", "SELECT set_config('request.jwt.claims', '{}', false)",
        "CREATE TEMP TABLE t (i int)", "PREPARE p AS SELECT 1", "LISTEN news", "SELECT pg_advisory_lock(7)", "BEGIN",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT 1 / 0"}) {
    connection->begin_exclusive_use();
    if (std::string_view(sql) == "SELECT 1 / 0") loop.run(connection->run(in_use("BEGIN")));
    (void)loop.run(connection->run(in_use(sql)));
    const auto done = loop.run(connection->reset());
    REQUIRE_MESSAGE(done, sql << ": " << done.error().message);
    CHECK_FALSE(connection->is_in_transaction());
    const auto after =
        loop.run(connection->run(query("SELECT concat_ws(' ', current_user, current_setting('statement_timeout'), "
                                       "nullif(current_setting('request.jwt.claims', true), ''), to_regclass('t'), "
                                       "(SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'), "
                                       "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'))")));
    CHECK(only_field(after) == "postgres 10s 0 0");
  }
  PostgresCluster::shared().sql("DROP ROLE visitor");
}

TEST_CASE("a session whose reset fails is closed") {
  PostgresLoop loop;
  const auto connection = loop.open();
  std::optional<PgError> lost;
  connection->set_on_lost([&](const PgError& error) { lost = error; });
  connection->begin_exclusive_use();
  terminate(*connection);
  const auto done = loop.run(connection->reset());
  CHECK_FALSE(done);
  CHECK(lost.has_value());
  CHECK_FALSE(connection->is_open());
}

}  // namespace
}  // namespace rt::postgres
