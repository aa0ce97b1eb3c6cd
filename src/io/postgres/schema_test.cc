#include "io/postgres/schema.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>

#include "io/postgres/partitions.h"
#include "testing/postgres_loop.h"

namespace rt::postgres {
namespace {

using testing::PostgresCluster;
using testing::PostgresLoop;

// A database of the shared cluster with the roles that platforms have.
class Database {
 public:
  explicit Database(const std::string& name) : name_(name) {
    for (const char* role : {"anon", "authenticated", "service_role", "supabase_admin", "dashboard_user"})
      PostgresCluster::shared().sql(std::string("DO $$ BEGIN CREATE ROLE ") + role +
                                    "; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    PostgresCluster::shared().sql("CREATE DATABASE " + name);
    connection_ = open();
  }
  ~Database() {
    connection_.reset();
    PostgresCluster::shared().sql("DROP DATABASE " + name_ + " WITH (FORCE)");
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  std::unique_ptr<Connection> open(const std::string& user = "") {
    auto how = PostgresLoop::settings();
    how.database = name_;
    if (!user.empty()) how.user = user;
    return loop.open(how);
  }
  // The only field of the only row; empty: there is no row.
  std::string sql(const std::string& text) {
    Batch batch;
    batch.statements = {{.sql = text, .plan = Plan::kOnce}};
    const auto reply = loop.run(connection_->run(std::move(batch)));
    REQUIRE_MESSAGE(reply, reply.error().message);
    return reply->back().empty() ? "" : std::string(reply->back().text(0, 0).value_or("NULL"));
  }
  Result<Migrated> migrate() { return loop.run(postgres::migrate(*connection_)); }
  PartitionUpkeep make_partitions() {
    auto done = loop.run(postgres::make_partitions(*connection_));
    REQUIRE_MESSAGE(done, done.error().message);
    return *std::move(done);
  }
  Connection& connection() { return *connection_; }
  const std::string& name() const { return name_; }

  PostgresLoop loop;

 private:
  const std::string name_;
  std::unique_ptr<Connection> connection_;
};

std::string message_of(const Result<Migrated>& done) { return done ? "" : done.error().message; }

constexpr const char* kObjects =
    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'realtime'";
constexpr const char* kVersions = "SELECT count(*) FROM realtime.schema_migrations";

TEST_CASE("an empty database gets the schema once, and a connection later it costs one query") {
  Database database("schema_once");
  CHECK(database.migrate() == Migrated::kMade);
  CHECK(database.sql(kVersions) == "81");
  CHECK(database.sql("SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = 'realtime' "
                     "AND tablename <> 'schema_migrations'") == "supabase_realtime_admin");
  const std::string objects = database.sql(kObjects);
  CHECK(database.migrate() == Migrated::kNothing);
  CHECK(database.sql(kObjects) == objects);
  CHECK(database.sql("SELECT current_user || current_setting('lock_timeout')") == "postgres10s");
}

TEST_CASE("servers that start at once on an empty database all succeed [D-005]") {
  Database database("schema_race");
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<std::optional<Result<Migrated>>> done(6);
  for (std::size_t i = 0; i < done.size(); ++i) connections.push_back(database.open());
  for (std::size_t i = 0; i < done.size(); ++i) database.loop.begin(migrate(*connections[i]), done[i]);
  database.loop.until([&] { return std::ranges::all_of(done, [](const auto& one) { return one.has_value(); }); });
  int made = 0;
  for (const auto& one : done) {
    REQUIRE_MESSAGE(*one, one->error().message);
    made += **one == Migrated::kMade ? 1 : 0;
  }
  CHECK(made == 1);
  CHECK(database.sql(kVersions) == "81");
}

TEST_CASE("a schema that another server has half made is refused and left alone [D-004]") {
  Database database("schema_half");
  database.sql("CREATE SCHEMA realtime");
  database.sql("CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0))");
  database.sql("INSERT INTO realtime.schema_migrations SELECT n FROM generate_series(1, 80) n");
  const std::string objects = database.sql(kObjects);
  CHECK(message_of(database.migrate()) == "bring this database to 81 with the previous server first");
  CHECK(database.sql(kObjects) == objects);
  CHECK(database.sql(kVersions) == "80");
}

TEST_CASE("over a schema that another server made go our functions, and nothing else changes") {
  Database database("schema_of_others");
  REQUIRE(database.migrate());
  // As another server leaves it: without our helpers, with functions of its own; and users have added something.
  database.sql("DROP FUNCTION realtime.datafuse_make_partition_of(timestamp)");
  database.sql("DROP FUNCTION realtime.datafuse_make_partition(date)");
  database.sql(
      "CREATE OR REPLACE FUNCTION realtime.send(payload jsonb, event text, topic text, private boolean DEFAULT true) "
      "RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''theirs''; END'");
  database.sql(
      "GRANT EXECUTE ON FUNCTION realtime.send(jsonb, text, text, boolean) TO dashboard_user WITH GRANT OPTION");
  database.sql("ALTER TABLE realtime.messages ADD COLUMN of_users integer");
  database.sql("REVOKE SELECT ON realtime.messages FROM anon");
  database.sql("INSERT INTO realtime.schema_migrations VALUES (29990101000000)");
  const char* acl =
      "SELECT proacl::text FROM pg_proc WHERE oid = 'realtime.send(jsonb,text,text,boolean)'::regprocedure";
  const std::string before = database.sql(acl);

  CHECK(database.migrate() == Migrated::kBroughtUpToDate);
  CHECK(database.sql(acl) == before);
  CHECK(database.sql(kVersions) == "82");
  CHECK(database.sql("SELECT has_table_privilege('anon', 'realtime.messages', 'SELECT')") == "f");
  database.sql("SELECT realtime.send('{}', 'e', 't')");
  CHECK(database.sql("SELECT count(*) FROM realtime.messages WHERE of_users IS NULL") == "1");
  CHECK(database.migrate() == Migrated::kNothing);
}

TEST_CASE("a login without rights is told so, and leaves nothing behind") {
  Database database("schema_no_rights");
  database.sql("CREATE ROLE weak LOGIN PASSWORD '" + std::string(PostgresCluster::kPassword) + "'");
  {
    const auto connection = database.open("weak");
    const auto done = database.loop.run(migrate(*connection));
    REQUIRE_FALSE(done);
    CHECK(done.error().sqlstate == "42501");
    CHECK(done.error().message.find("01_roles_and_schema.sql") != std::string::npos);
    CHECK(done.error().message.find("`realtime doctor` tells which") != std::string::npos);
    CHECK(connection->is_open());
    CHECK_FALSE(connection->is_in_transaction());
  }
  CHECK(database.sql("SELECT to_regnamespace('realtime')::text") == "NULL");
  database.sql("DROP ROLE weak");
}

TEST_CASE("a login that is no superuser makes the schema with the rights that the manual names") {
  Database database("schema_of_login");
  database.sql("CREATE ROLE tenant_login LOGIN REPLICATION PASSWORD '" + std::string(PostgresCluster::kPassword) + "'");
  database.sql("GRANT CREATE ON DATABASE schema_of_login TO tenant_login");
  database.sql("GRANT anon, authenticated, service_role TO tenant_login");
  database.sql(
      "DO $$ BEGIN CREATE ROLE supabase_realtime_admin NOINHERIT; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
  database.sql("GRANT supabase_realtime_admin TO tenant_login");
  database.sql("GRANT supabase_realtime_admin TO postgres");
  {
    const auto connection = database.open("tenant_login");
    const auto done = database.loop.run(migrate(*connection));
    CHECK_MESSAGE(done, message_of(done));
    const auto partitions = database.loop.run(make_partitions(*connection));
    REQUIRE_MESSAGE(partitions, partitions.error().message);
    CHECK(partitions->days_ahead == kPartitionDaysAhead);
  }
  database.sql("DROP OWNED BY tenant_login CASCADE");
  database.sql("DROP ROLE tenant_login");
}

TEST_CASE("roles that are missing are named") {
  Database database("schema_no_roles");
  database.sql("ALTER ROLE authenticated RENAME TO another");
  CHECK(message_of(database.migrate()).starts_with("these roles do not exist: authenticated"));
  database.sql("ALTER ROLE another RENAME TO authenticated");
}

TEST_CASE("there is a partition for yesterday, today and thirty days more [D-012]") {
  Database database("partitions");
  REQUIRE(database.migrate());
  const PartitionUpkeep first = database.make_partitions();
  CHECK(first.made == 32);
  CHECK(first.days_ahead == 30);
  CHECK(first.failures.empty());
  const char* names =
      "SELECT min(c.relname) || ' ' || max(c.relname) || ' ' || count(*) || ' ' || string_agg(DISTINCT r.rolname, ',') "
      "FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid JOIN pg_roles r ON r.oid = relowner "
      "WHERE inhparent = 'realtime.messages'::regclass";
  CHECK(
      database.sql(names) ==
      database.sql("SELECT to_char(d - 1, '\"messages_\"YYYY_MM_DD') || to_char(d + 30, '\" messages_\"YYYY_MM_DD') || "
                   "' 32 supabase_realtime_admin' FROM (SELECT (now() AT TIME ZONE 'utc')::date) AS today(d)"));
  CHECK(database.make_partitions().made == 0);
}

TEST_CASE("servers that make partitions at once, beside an open transaction that writes, do not fail [D-014]") {
  Database database("partitions_race");
  REQUIRE(database.migrate());
  database.sql("SELECT realtime.datafuse_make_partition((now() AT TIME ZONE 'utc')::date)");
  const auto writer = database.open();
  writer->begin_exclusive_use();
  Batch write{.ends = Ends::kOpen};
  write.statements = {{.sql = "BEGIN", .plan = Plan::kOnce},
                      {.sql = "SELECT realtime.send('{}', 'e', 't')", .plan = Plan::kOnce}};
  REQUIRE(database.loop.run(writer->run(std::move(write))));

  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<std::optional<Result<PartitionUpkeep>>> done(4);
  for (std::size_t i = 0; i < done.size(); ++i) connections.push_back(database.open());
  for (std::size_t i = 0; i < done.size(); ++i) database.loop.begin(make_partitions(*connections[i]), done[i]);
  database.loop.until([&] { return std::ranges::all_of(done, [](const auto& one) { return one.has_value(); }); });
  for (const auto& one : done) {
    REQUIRE_MESSAGE(*one, one->error().message);
    CHECK((*one)->failures.empty());
    CHECK((*one)->days_ahead == 30);
  }
  CHECK(database.make_partitions().made == 0);
  REQUIRE(database.loop.run(writer->reset()));
}

TEST_CASE("a day whose partition cannot be made is told, and the others have theirs") {
  Database database("partitions_blocked");
  REQUIRE(database.migrate());
  database.sql(
      "DO $$ BEGIN EXECUTE to_char((now() AT TIME ZONE 'utc')::date + 2, "
      "'\"CREATE TABLE realtime.messages_\"YYYY_MM_DD\" ()\"'); END $$");
  const PartitionUpkeep upkeep = database.make_partitions();
  CHECK(upkeep.made == 31);
  CHECK(upkeep.days_ahead == 1);
  REQUIRE(upkeep.failures.size() == 1);
  CHECK(upkeep.failures[0].find("already exists") != std::string::npos);
}

TEST_CASE("partitions older than three days are dropped, and no other child of the table [D-013]") {
  Database database("partitions_old");
  REQUIRE(database.migrate());
  for (int days = 3; days <= 6; ++days)
    database.sql("SELECT realtime.datafuse_make_partition((now() AT TIME ZONE 'utc')::date - " + std::to_string(days) +
                 ")");
  database.sql(
      "CREATE TABLE realtime.messages_archive PARTITION OF realtime.messages FOR VALUES FROM ('2001-01-01') TO "
      "('2001-02-01')");
  auto dropped = database.loop.run(drop_old_partitions(database.connection()));
  REQUIRE_MESSAGE(dropped, dropped.error().message);
  CHECK(*dropped == 3);
  CHECK(database.sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'realtime.messages'::regclass") == "2");
  dropped = database.loop.run(drop_old_partitions(database.connection()));
  CHECK(*dropped == 0);
}

TEST_CASE("the schema is also a script for psql") {
  Database database("schema_text");
  const std::string text = schema_as_text();
  CHECK(text.starts_with("BEGIN;"));
  CHECK(text.ends_with("COMMIT;\n"));
  CHECK(text.find("-- next") == std::string::npos);
  CHECK(upgrade_as_text().size() < text.size());
  CHECK(schema_version() >= 2);
}

}  // namespace
}  // namespace rt::postgres
