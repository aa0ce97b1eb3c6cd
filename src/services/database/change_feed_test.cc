#include "services/database/change_feed.h"

#include <boost/asio/awaitable.hpp>

#include "testing/change_listener.h"

namespace rt::database {
namespace {

const std::string kOrders = R"({"event":"*","schema":"shop","table":"orders"})";

bool has(const std::string& text, std::string_view part) { return ChangeListener::has(text, part); }

void with_owners_policy() {
  cluster().sql(
      "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shop.orders FOR SELECT TO authenticated "
      "USING (owner = current_setting('request.jwt.claims', true)::jsonb ->> 'sub')");
}

ChangeFeedConfig durable() {
  ChangeFeedConfig config = quick_changes();
  config.stream.slot_mode = SlotMode::kDurable;
  return config;
}

}  // namespace

TEST_CASE("a row that is committed right after the notice is told [PC-004] [PC-005]") {
  ChangeListener listener;
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  cluster().sql("INSERT INTO shop.orders VALUES (1, 'a', 1.10)");
  listener.until_told(1, 1);
  CHECK(has(listener.told[1][0], R"("ids":[10])"));
  CHECK(has(listener.told[1][0], R"("record":{"id": 1, "owner": "a", "total": 1.10})"));
  cluster().sql("UPDATE shop.orders SET total = 2; DELETE FROM shop.orders");
  listener.until_told(1, 3);
  CHECK(has(listener.told[1][1], R"("type":"UPDATE")"));
  CHECK(has(listener.told[1][2], R"("old_record":{"id": 1})"));
}

TEST_CASE(
    "what was asked for with a fault is told so, and nothing of the channel is served [PC-011] [PC-012] [PC-019]") {
  ChangeListener listener;
  listener.subscribe(1, {kOrders, R"({"schema":"shop","table":"orders","filter":"nothing=eq.1"})"});
  listener.subscribe(2, {R"({"schema":"shop","table":"absent"})"});
  listener.subscribe(3, {R"({"schema":"shop","table":"orders","filter":"wrong"})"});
  listener.subscribe(4, {kOrders});
  listener.until_subscribed(4);
  listener.until_notices(1, 1);
  listener.until_notices(2, 1);
  CHECK(listener.notices[1][0] ==
        "Unable to subscribe to changes with given parameters. An exception happened so please check your connect "
        "parameters: [event: *, schema: shop, table: orders, filters: [{\"nothing\", \"eq\", \"1\", false}], select: "
        "nil]. Exception: ERROR P0001 (raise_exception) invalid column for filter nothing");
  CHECK(listener.notices[2][0] ==
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect "
        "parameters: [event: *, schema: shop, table: absent, filters: [], select: nil]");
  CHECK(listener.notices[3][0] == R"(Error parsing `filter` params: ["wrong"])");
  cluster().sql("INSERT INTO shop.orders VALUES (1)");
  listener.until_told(4, 1);
  CHECK(listener.told[1].empty());
}

TEST_CASE("everybody is told the rows that their claims may see, and no others [PC-060] [PC-061] [PC-068] [PC-074]") {
  ChangeListener listener;
  with_owners_policy();
  listener.subscribe(1, {kOrders}, "authenticated", R"("sub":"ann")");
  listener.subscribe(2, {kOrders}, "authenticated", R"("sub":"bob")");
  listener.subscribe(3, {kOrders}, "service_role");
  for (const int number : {1, 2, 3}) listener.until_subscribed(static_cast<std::uint64_t>(number));
  cluster().sql(
      "INSERT INTO shop.orders SELECT n, CASE WHEN n % 2 = 0 THEN 'ann' ELSE 'bob' END FROM "
      "generate_series(1, 100) n");
  listener.until_told(3, 100);
  CHECK(listener.told[1].size() == 50);
  CHECK(listener.told[2].size() == 50);
  for (const std::string& message : listener.told[1]) CHECK(has(message, R"("owner": "ann")"));
  // For all rows of a batch one question each, however the batches were.
  CHECK(listener.counters.visibility_questions.value() % 3 == 0);
  CHECK(listener.counters.visibility_questions.value() <= 3 * listener.batches.size());
}

TEST_CASE("a policy that raises for one row hides that row from that user alone [PC-070]") {
  ChangeListener listener;
  cluster().sql(
      "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY odd ON shop.orders FOR SELECT TO authenticated "
      "USING (CASE WHEN id = 2 THEN 1 / (id - 2) > 0 ELSE true END)");
  listener.subscribe(1, {kOrders}, "authenticated", R"("sub":"ann")");
  listener.subscribe(2, {kOrders}, "service_role");
  listener.until_subscribed(1);
  listener.until_subscribed(2);
  cluster().sql("INSERT INTO shop.orders VALUES (1), (2), (3)");
  listener.until_told(2, 3);
  CAPTURE(listener.log.all);
  REQUIRE(listener.told[1].size() == 2);
  CHECK(has(listener.told[1][0], R"("id": 1)"));
  CHECK(has(listener.told[1][1], R"("id": 3)"));
}

TEST_CASE("who may not read the key is told of an error, and of no row [PC-055] [PC-064]") {
  ChangeListener listener;
  cluster().sql("REVOKE SELECT ON shop.orders FROM anon; GRANT SELECT (owner) ON shop.orders TO anon");
  listener.subscribe(1, {R"({"schema":"shop","table":"orders","filter":"owner=eq.nobody"})"});
  listener.subscribe(2, {kOrders}, "service_role");
  listener.until_subscribed(1);
  listener.until_subscribed(2);
  cluster().sql("INSERT INTO shop.orders VALUES (1, 'a', 1)");
  listener.until_told(2, 1);
  REQUIRE(listener.told[1].size() == 1);
  CHECK(has(listener.told[1][0], R"("errors":["Error 401: Unauthorized"])"));
  CHECK(!has(listener.told[1][0], R"("a")"));
  cluster().sql("ALTER TABLE shop.orders DROP CONSTRAINT orders_pkey; INSERT INTO shop.orders VALUES (2, 'a', 1)");
  listener.until_told(2, 2);
  CHECK(has(listener.told[1].back(), R"("errors":["Error 400: Bad Request, no primary key"])"));
}

TEST_CASE("a new token of a channel counts from the notice on, under the same ids [PC-024]") {
  ChangeListener listener;
  with_owners_policy();
  listener.subscribe(1, {kOrders}, "authenticated", R"("sub":"ann")");
  listener.subscribe(2, {kOrders}, "service_role");
  listener.until_subscribed(1);
  listener.until_subscribed(2);
  listener.subscribe(1, {kOrders}, "authenticated", R"("sub":"bob")");
  listener.until_notices(1, 2);
  cluster().sql("INSERT INTO shop.orders VALUES (1, 'ann'), (2, 'bob')");
  listener.until_told(2, 2);
  REQUIRE(listener.told[1].size() == 1);
  CHECK(has(listener.told[1][0], R"("id": 2)"));
  CHECK(has(listener.told[1][0], R"("ids":[10])"));
}

TEST_CASE("there is no slot while nothing is published, and those who wait are served once something is [PC-111]") {
  ChangeListener listener;
  cluster().sql("ALTER PUBLICATION supabase_realtime DROP TABLE shop.orders");
  listener.subscribe(1, {R"({"schema":"shop"})"});
  listener.until_notices(1, 1);
  CHECK(has(listener.notices[1][0], "Please check Realtime is enabled"));
  CHECK(slots() == "0");
  cluster().sql("ALTER PUBLICATION supabase_realtime ADD TABLE shop.orders");
  listener.until_subscribed(1);
  CHECK(slots() == "1");
  cluster().sql("INSERT INTO shop.orders VALUES (1)");
  listener.until_told(1, 1);
}

TEST_CASE("the first row of a table that was published just now is told to who named it by a pattern [PC-112]") {
  ChangeListener listener;
  listener.subscribe(1, {R"({"schema":"shop"})"});
  listener.until_subscribed(1);
  cluster().sql(
      "CREATE TABLE shop.carts (id int PRIMARY KEY); GRANT SELECT ON shop.carts TO anon; "
      "ALTER PUBLICATION supabase_realtime ADD TABLE shop.carts");
  cluster().sql("INSERT INTO shop.carts VALUES (7)");
  listener.until_told(1, 1);
  CHECK(has(listener.told[1][0], R"("table":"carts")"));
  CHECK(listener.notices[1].size() == 1);
}

TEST_CASE("rows of a table that is gone by now are told, and those of one that has its name [PC-114]") {
  ChangeListener listener;
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  cluster().sql(
      "INSERT INTO shop.orders VALUES (1); DROP TABLE shop.orders; CREATE TABLE shop.orders (id int PRIMARY KEY, more "
      "text); GRANT SELECT ON shop.orders TO anon; ALTER PUBLICATION supabase_realtime ADD TABLE shop.orders; INSERT "
      "INTO shop.orders VALUES (2, 'x')");
  listener.until_told(1, 2);
  CHECK(has(listener.told[1][0], R"("record":{"id": 1, "owner": null, "total": null})"));
  CHECK(has(listener.told[1][1], R"("record":{"id": 2, "more": "x"})"));
}

TEST_CASE("a publication that was dropped and made again is followed, and everybody is told so [PC-113]") {
  ChangeListener listener;
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  cluster().sql("DROP PUBLICATION supabase_realtime; INSERT INTO shop.orders VALUES (1)");
  listener.loop.until([&] { return has(listener.notices[1].back(), "Please check Realtime is enabled"); });
  listener.loop.until([] { return slots() == "0"; });
  cluster().sql("CREATE PUBLICATION supabase_realtime FOR TABLE shop.orders");
  listener.until_subscribed(1);
  cluster().sql("INSERT INTO shop.orders VALUES (2)");
  listener.until_told(1, 1);
  CHECK(has(listener.told[1].back(), R"("id": 2)"));
}

TEST_CASE("a stream that was lost with its slot is told anew, one with a durable slot goes on [PC-115]") {
  for (const bool is_durable : {false, true}) {
    CAPTURE(is_durable);
    ChangeListener listener(is_durable ? durable() : quick_changes());
    listener.subscribe(1, {kOrders});
    listener.until_subscribed(1);
    cluster().sql("INSERT INTO shop.orders VALUES (1)");
    listener.until_told(1, 1);
    listener.loop.until([&] { return listener.counters.streams.streaming.value() == 1; });
    listener.end_sessions_of("realtime_rls");
    listener.loop.until([&] { return listener.counters.streams.lost.value() == 1; });
    if (is_durable) {
      cluster().sql("INSERT INTO shop.orders VALUES (2)");
    } else {
      listener.until_notices(1, 2);
      listener.loop.until([&] { return listener.counters.streams.streaming.value() == 1; });
      cluster().sql("INSERT INTO shop.orders VALUES (2)");
    }
    listener.until_told(1, 2);
    CHECK(has(listener.told[1][1], R"("id": 2)"));
    CHECK(listener.told[1].size() == 2);
    CHECK(listener.notices[1].size() == (is_durable ? 1 : 2));
  }
}

TEST_CASE("rows that a durable slot kept over a restart are told to those who are back [PC-117]") {
  ChangeListener listener(durable());
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  listener.end();
  cluster().sql("INSERT INTO shop.orders VALUES (1), (2)");
  listener.memory = std::make_shared<SlotMemory>();  // another process
  listener.begin();
  listener.until_told(1, 2);
  CHECK(has(listener.told[1][0], R"("id": 1)"));
  CHECK(has(listener.told[1][1], R"("id": 2)"));
}

TEST_CASE("a session that ends while rows are asked about costs none of them [PC-072]") {
  ChangeListener listener;
  with_owners_policy();
  listener.subscribe(1, {kOrders}, "authenticated", R"("sub":"ann")");
  listener.until_subscribed(1);
  for (int i = 0; i < 20; ++i) {
    cluster().sql("INSERT INTO shop.orders VALUES (" + std::to_string(i) + ", 'ann')");
    listener.end_sessions_of("realtime_subscription_manager");
  }
  listener.until_told(1, 20);
  for (std::size_t i = 0; i < 20; ++i) CHECK(has(listener.told[1][i], R"("id": )" + std::to_string(i) + ","));
  CHECK(listener.notices[1].size() == 1);
}

TEST_CASE("columns that the log does not tell are told all the same [PC-044] [PC-042]") {
  ChangeListener listener;
  cluster().sql(
      "CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public; "
      "ALTER TABLE shop.orders ADD twice numeric GENERATED ALWAYS AS (total * 2) STORED, ADD tags public.hstore");
  listener.subscribe(1, {R"({"schema":"shop","table":"orders","filter":"twice=gt.5"})"});
  listener.until_subscribed(1);
  cluster().sql("INSERT INTO shop.orders VALUES (1, 'a', 2), (2, 'b', 3)");
  cluster().sql("UPDATE shop.orders SET tags = 'a=>1', total = 4");
  listener.until_told(1, 3);
  CHECK(has(listener.told[1][0], R"("twice": 6)"));
  CHECK(has(listener.told[1][1], R"("tags": {"a": "1"})"));
  CHECK(has(listener.told[1][1], R"("twice": 8)"));
}

TEST_CASE("above its limit of changes a tenant is told none, and then again [PC-106] [M-018]") {
  ChangeListener listener;
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  listener.is_over_limit = true;
  cluster().sql("INSERT INTO shop.orders VALUES (1)");
  listener.loop.until([&] { return listener.counters.skipped_for_rate.value() == 1; });
  listener.is_over_limit = false;
  cluster().sql("INSERT INTO shop.orders VALUES (2)");
  listener.until_told(1, 1);
  CHECK(has(listener.told[1][0], R"("id": 2)"));
}

TEST_CASE("rows come in the order of their commits, however they have to be asked about [PC-102]") {
  ChangeListener listener;
  cluster().sql(
      "CREATE TABLE shop.open (id int PRIMARY KEY); GRANT SELECT ON shop.open TO anon, authenticated; "
      "ALTER PUBLICATION supabase_realtime ADD TABLE shop.open");
  with_owners_policy();
  listener.subscribe(1, {R"({"schema":"shop"})"}, "authenticated", R"("sub":"ann")");
  listener.until_subscribed(1);
  std::string sql;
  for (int i = 0; i < 200; ++i) {
    sql += i % 2 == 0 ? "INSERT INTO shop.open VALUES (" + std::to_string(i) + "); "
                      : "INSERT INTO shop.orders VALUES (" + std::to_string(i) + ", 'ann'); ";
  }
  cluster().sql(sql);
  listener.until_told(1, 200);
  for (std::size_t i = 0; i < 200; ++i) {
    const std::string id = R"("id": )" + std::to_string(i);
    CHECK((has(listener.told[1][i], id + ",") || has(listener.told[1][i], id + "}")));
  }
}

TEST_CASE("what a policy remembers of one user is forgotten before the next is asked about [PC-061] [PC-075]") {
  ChangeListener listener;
  cluster().sql(
      "CREATE FUNCTION shop.me() RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF coalesce(current_setting('app.me', "
      "true), "
      "'') = '' THEN PERFORM set_config('app.me', current_setting('request.jwt.claims')::jsonb ->> 'sub', false); END "
      "IF; "
      "RETURN current_setting('app.me'); END $$; ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY own "
      "ON "
      "shop.orders FOR SELECT TO authenticated USING (owner = shop.me())");
  listener.subscribe(1, {kOrders}, "authenticated", R"("sub":"ann")");
  listener.subscribe(2, {kOrders}, "authenticated", R"("sub":"bob")");
  listener.until_subscribed(1);
  listener.until_subscribed(2);
  for (const int begin : {0, 10}) {
    cluster().sql(
        "INSERT INTO shop.orders SELECT n, CASE WHEN n % 2 = 0 THEN 'ann' ELSE 'bob' END FROM generate_series(" +
        std::to_string(begin) + ", " + std::to_string(begin + 9) + ") n");
  }
  listener.until_told(1, 10);
  listener.until_told(2, 10);
  for (const std::string& message : listener.told[1]) CHECK(has(message, R"("owner": "ann")"));
  for (const std::string& message : listener.told[2]) CHECK(has(message, R"("owner": "bob")"));
}

TEST_CASE("what generates a column has the rights of the table's owner, whatever those of our login are") {
  ChangeListener listener;
  cluster().sql(
      "DO $$ BEGIN CREATE ROLE shopkeeper; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT USAGE ON SCHEMA "
      "shop "
      "TO shopkeeper; CREATE FUNCTION shop.who(id int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT "
      "current_user::text'; "
      "ALTER TABLE shop.orders ADD who text GENERATED ALWAYS AS (shop.who(id)) STORED, ADD is_large bool GENERATED "
      "ALWAYS "
      "AS (total > 5) STORED; ALTER TABLE shop.orders OWNER TO shopkeeper");
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  cluster().sql("INSERT INTO shop.orders VALUES (1, 'a', 7)");
  listener.until_told(1, 1);
  CHECK(has(listener.told[1][0], R"("who": "shopkeeper")"));
  CHECK(has(listener.told[1][0], R"("is_large": true)"));
}

TEST_CASE("a row that is too large to be asked about is told without what was asked, and the next as ever") {
  ChangeListener listener;
  cluster().sql("ALTER TABLE shop.orders ADD size int GENERATED ALWAYS AS (length(owner)) STORED");
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  cluster().sql(
      "INSERT INTO shop.orders SELECT 1, string_agg(md5(n::text), '') FROM generate_series(1, 560000) n; "
      "INSERT INTO shop.orders VALUES (2, 'abc')");
  listener.until_told(1, 2);
  CHECK(has(listener.told[1][0], R"("id": 1)"));
  CHECK(has(listener.told[1][1], R"("size": 3)"));
  CHECK(listener.notices[1].size() == 1);
}

TEST_CASE("a channel that asks for very much costs no other its subscriptions") {
  ChangeListener listener;
  std::string sql;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "shop.t" + std::to_string(i);
    sql += "CREATE TABLE " + name + " (id int PRIMARY KEY); GRANT SELECT ON " + name +
           " TO anon; ALTER PUBLICATION supabase_realtime ADD TABLE " + name + "; ";
  }
  cluster().sql(sql);
  const std::string everything = R"({"schema":"*","table":"*","filter":"id=eq.1"})";
  listener.subscribe(1, std::vector<std::string>(1'000, everything));
  listener.subscribe(2, std::vector<std::string>(100, everything));
  listener.subscribe(3, {kOrders});
  listener.until_subscribed(3);
  listener.until_subscribed(2);
  listener.until_notices(1, 1);
  CHECK(has(listener.notices[1][0], "use several channels"));
  CHECK(listener.notices[3].size() == 1);
  CHECK(listener.counters.timed_out.value() == 0);
}

TEST_CASE("without subscriptions the stream ends and leaves no slot [PC-121]") {
  ChangeFeedConfig config = durable();
  config.idle_max = milliseconds(100);
  ChangeListener listener(config);
  listener.subscribe(1, {kOrders});
  listener.until_subscribed(1);
  CHECK(slots() == "1");
  listener.unsubscribe(1);
  listener.loop.until([] { return slots() == "0"; });
  listener.subscribe(2, {kOrders});
  listener.until_subscribed(2);
  cluster().sql("INSERT INTO shop.orders VALUES (1)");
  listener.until_told(2, 1);
}

TEST_CASE("rows of the server's own tables are never told [D-037]") {
  ChangeListener listener;
  cluster().sql("DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR ALL TABLES");
  listener.subscribe(1, {R"({"schema":"*"})"}, "service_role");
  listener.until_subscribed(1);
  cluster().sql(
      "INSERT INTO realtime.subscription (subscription_id, entity, claims) VALUES (gen_random_uuid(), 'shop.orders', "
      "'{\"role\":\"anon\"}'); DELETE FROM realtime.subscription; "
      "INSERT INTO realtime.schema_migrations VALUES (1); DELETE FROM realtime.schema_migrations WHERE version = 1; "
      "INSERT INTO shop.orders VALUES (1)");
  listener.loop.until([&] { return !listener.order.empty() && has(listener.order.back(), R"("table":"orders")"); });
  for (const std::string& payload : listener.order) {
    CHECK(!has(payload, R"("table":"subscription")"));
    CHECK(!has(payload, R"("table":"schema_migrations")"));
  }
}

}  // namespace rt::database
