#include "services/database/policy_expressions.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <random>

#include "services/database/policy_checks.h"
#include "testing/tenant_schema.h"

namespace rt::database {
namespace {

using testing::PostgresCluster;
using testing::PostgresLoop;

std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

// What users' policies stand on: tables, functions, and roles of all kinds.
void make_surroundings() {
  if (!sql("SELECT to_regclass('public.members')").empty()) return;
  sql(R"(
    CREATE TABLE public.members (user_id text, topic text);
    INSERT INTO public.members VALUES ('alice', 'room-1'), ('bob', 'room-2');
    GRANT SELECT ON public.members TO authenticated, anon;
    CREATE TABLE public.hidden_members (user_id text, topic text);
    INSERT INTO public.hidden_members VALUES ('alice', 'room-1'), ('bob', 'room-1');
    GRANT SELECT ON public.hidden_members TO authenticated;
    ALTER TABLE public.hidden_members ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.hidden_members FOR SELECT TO authenticated
      USING (user_id = current_setting('request.jwt.claim.sub', true));
    CREATE TABLE public.secrets (topic text);
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
    CREATE FUNCTION auth.uid() RETURNS text LANGUAGE sql STABLE AS
      $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '') $$;
    CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
      $$ SELECT current_setting('request.jwt.claims', true)::jsonb $$;
    CREATE FUNCTION public.is_member(topic text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN RETURN EXISTS (SELECT FROM members m WHERE m.user_id = auth.uid() AND m.topic = is_member.topic); END $$;
    CREATE FUNCTION public.raises(topic text) RETURNS boolean LANGUAGE plpgsql AS
      $$ BEGIN IF topic = 'room-2' THEN RAISE EXCEPTION 'no %', topic USING ERRCODE = 'P0007'; END IF;
      RETURN true; END $$;
    CREATE FUNCTION public.counts() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN RETURN (SELECT count(*) > 0 FROM realtime.messages); END $$;
    CREATE FUNCTION public.who() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT auth.uid() $$;
    CREATE SCHEMA private;
    CREATE FUNCTION private.is_alice() RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT auth.uid() = 'alice' $$;
    CREATE FUNCTION public.twice(a text) RETURNS boolean LANGUAGE sql AS $$ SELECT a LIKE 'room%' $$;
    CREATE FUNCTION public.twice(a text, b text DEFAULT 'x') RETURNS boolean LANGUAGE sql AS $$ SELECT a = b $$;
    CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq);
    CREATE TYPE public.mood AS ENUM ('room-1', 'room-2');
    CREATE ROLE editor INHERIT IN ROLE authenticated;
    CREATE ROLE viewer NOINHERIT IN ROLE authenticated;
    CREATE ROLE "Mixed ""Case""";
    CREATE ROLE admin_of_realtime INHERIT IN ROLE supabase_realtime_admin;
    CREATE ROLE reader;
    CREATE ROLE stranger;
    GRANT USAGE ON SCHEMA realtime TO viewer, "Mixed ""Case""", reader;
    GRANT SELECT, INSERT ON realtime.messages TO viewer, "Mixed ""Case""";
    GRANT SELECT (id, inserted_at) ON realtime.messages TO reader;)");
}

const std::vector<std::string> kRoles = {"authenticated",    "anon",   "service_role", "editor", "viewer",
                                         R"(Mixed "Case")",  "reader", "stranger",     "nobody", "supabase_admin",
                                         "admin_of_realtime"};

std::string text_of(const RightsAnswer& answer) {
  if (!answer) return std::to_string(static_cast<int>(answer.error().kind)) + " " + answer.error().text;
  std::string out;
  for (const auto right :
       {answer->broadcast_read, answer->broadcast_write, answer->presence_read, answer->presence_write})
    out += right ? (*right ? '+' : '-') : '?';
  return out;
}

// The same database, asked in both ways.
class BothWays {
 public:
  BothWays() {
    testing::make_tenant_schema(loop);
    make_surroundings();
    for (const auto method : {PolicyMethod::kProbes, PolicyMethod::kExpressions}) {
      Way& way = ways_[static_cast<std::size_t>(method)];
      postgres::PoolConfig pool_config;
      pool_config.pipeline_max = 1;
      way.pool =
          std::make_unique<postgres::Pool>(loop.surroundings, PostgresLoop::settings(), pool_config, clock_, random_);
      way.checks = std::make_unique<PolicyChecks>(loop.io, *way.pool, PolicyChecksConfig{.method = method}, clock_,
                                                  random_, way.given_up, way.counters, way.times, nullptr);
    }
  }
  ~BothWays() {
    for (Way& way : ways_) {
      loop.on_loop([&] { way.checks->close(); });
      loop.run(way.pool->stop());
      loop.run(way.checks->drained());
    }
    drop_policies();
  }

  static void drop_policies() {
    sql("DO $$ DECLARE p record; BEGIN FOR p IN SELECT polname FROM pg_policy WHERE polrelid = "
        "'realtime.messages'::regclass LOOP EXECUTE format('DROP POLICY %I ON realtime.messages', p.polname); "
        "END LOOP; END $$");
  }
  static void policy(const std::string& name, const std::string& what) {
    sql("CREATE POLICY " + name + " ON realtime.messages " + what);
  }

  std::vector<std::string> ask(PolicyMethod method, const std::vector<RightsQuestion>& questions) {
    std::vector<std::optional<RightsAnswer>> answers(questions.size());
    loop.on_loop([&] {
      for (std::size_t i = 0; i < questions.size(); ++i) {
        ways_[static_cast<std::size_t>(method)].checks->ask(
            questions[i], [&answers, i](RightsAnswer answer) { answers[i] = std::move(answer); });
      }
    });
    loop.until([&] { return std::ranges::all_of(answers, [](const auto& answer) { return answer.has_value(); }); });
    std::vector<std::string> out;
    for (const auto& answer : answers) out.push_back(text_of(*answer));
    return out;
  }
  // How many were answered by expressions.
  std::uint64_t agree(const std::vector<RightsQuestion>& questions) {
    const std::uint64_t before = by_expressions();
    const auto probed = ask(PolicyMethod::kProbes, questions);
    const auto expressed = ask(PolicyMethod::kExpressions, questions);
    for (std::size_t i = 0; i < questions.size(); ++i) {
      CAPTURE(questions[i].topic);
      CAPTURE(questions[i].claims.json);
      CHECK(expressed[i] == probed[i]);
    }
    CHECK(sql("SELECT count(*) FROM realtime.messages") == "0");
    return by_expressions() - before;
  }
  std::uint64_t by_expressions() {
    return ways_[static_cast<std::size_t>(PolicyMethod::kExpressions)].counters.by_expressions.value();
  }
  PolicyCounters& counters(PolicyMethod method) { return ways_[static_cast<std::size_t>(method)].counters; }

  PostgresLoop loop;

 private:
  struct Way {
    RecentFailures given_up{1, std::chrono::seconds(30)};
    PolicyCounters counters;
    CheckTimes times;
    std::unique_ptr<postgres::Pool> pool;
    std::unique_ptr<PolicyChecks> checks;
  };

  SystemClock clock_;
  SystemRandom random_;
  std::array<Way, 2> ways_;
};

constexpr AskedRights kRead{.broadcast_read = true, .presence_read = true};
constexpr AskedRights kAll{true, true, true, true};

RightsQuestion question(std::string topic, AskedRights asked, const std::string& role = "authenticated",
                        const std::string& subject = "alice") {
  RightsQuestion out;
  out.topic = std::move(topic);
  out.asked = asked;
  out.claims.role = role;
  out.claims.subject = subject;
  std::string quoted_role;
  for (const char c : role) quoted_role += c == '"' ? std::string("\\\"") : std::string(1, c);
  out.claims.json = R"({"role":")" + quoted_role + R"(","sub":")" + subject + R"(","role_level":)" +
                    (subject == "alice" ? "5" : "2") + "}";
  out.headers = std::make_shared<const std::string>(R"({"x-tenant":")" + subject + "\"}");
  return out;
}

// Everybody about everything, each in one of several combinations of rights.
std::vector<RightsQuestion> all_questions() {
  constexpr std::array<AskedRights, 5> kAsked{kRead, AskedRights{.broadcast_read = true},
                                              AskedRights{.broadcast_write = true, .presence_write = true},
                                              AskedRights{.presence_write = true}, kAll};
  std::vector<RightsQuestion> out;
  for (const std::string& role : kRoles) {
    for (const char* topic : {"room-1", "room-2", R"(a:"b" 'c' \d)"}) {
      for (const char* subject : {"alice", "bob", ""})
        out.push_back(question(topic, kAsked[out.size() % 5], role, subject));
    }
  }
  return out;
}

// Conditions as users write them.
const std::vector<std::string> kConditions = {
    "true",
    "false",
    "NULL::boolean",
    "realtime.topic() = 'room-1' AND extension = 'broadcast'",
    "realtime.topic() = 'room-1' AND realtime.messages.extension = 'presence'",
    "EXISTS (SELECT 1 FROM members m WHERE m.user_id = (SELECT auth.uid()) AND m.topic = (SELECT realtime.topic()))",
    "EXISTS (SELECT 1 FROM members WHERE members.topic = messages.topic AND user_id = auth.uid())",
    "topic IN (SELECT h.topic FROM hidden_members h)",
    "(current_setting('request.jwt.claims', true)::jsonb ->> 'role_level')::int > 3",
    "(auth.jwt() ->> 'sub') LIKE 'a%'",
    "current_setting('request.headers', true)::json ->> 'x-tenant' = 'bob'",
    "is_member(topic)",
    "who() = 'alice'",
    "topic === 'room-2'",
    "split_part(topic, '-', 2)::int = 1",  // raises for other topics
    "raises(topic)",
    "topic = 'room-2' OR raises(topic)",
    "EXISTS (SELECT FROM secrets)",  // nobody may
    "NOT private AND payload IS NULL AND event IS NULL AND binary_payload IS NULL",
    "private",
    "payload ->> 'a' = 'b'",
    "inserted_at > now() - interval '1 day' AND updated_at = inserted_at AND id IS NOT NULL",
    "current_user = 'authenticated' AND auth.uid() IS NOT NULL",
    "CASE WHEN extension = 'presence' THEN topic::mood = 'room-1' ELSE topic LIKE 'room%' END",
    "topic = ANY (ARRAY['room-1', 'room-2']) AND length(topic) BETWEEN 1 AND 10",
    "(SELECT count(*) FROM members) > 1 AND extension <> 'presence'",
    "topic ~ '^room-[0-9]$' COLLATE \"C\"",
    "coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), 'x') <> 'bob'",
};

TEST_CASE("each policy that users write is answered without writing as by probes [A-036] [A-034]") {
  BothWays database;
  const auto questions = all_questions();
  for (const std::string& condition : kConditions) {
    CAPTURE(condition);
    BothWays::policy("r", "FOR SELECT TO authenticated USING (" + condition + ")");
    BothWays::policy("w", "FOR INSERT TO authenticated WITH CHECK (" + condition + ")");
    CHECK(database.agree(questions) > 0);
    BothWays::drop_policies();
  }
}

TEST_CASE("so are those that are restrictive, for all or for everybody, and none [A-036] [A-034]") {
  BothWays database;
  const auto questions = all_questions();
  CHECK(database.agree(questions) > 0);
  for (const char* what :
       {"FOR ALL TO PUBLIC USING (topic = 'room-1')", "FOR ALL USING (topic = 'room-1') WITH CHECK (topic = 'room-2')",
        "FOR ALL TO anon, editor USING (extension = 'presence')", "FOR UPDATE TO PUBLIC USING (true)",
        "FOR DELETE TO PUBLIC USING (true)", "AS RESTRICTIVE FOR SELECT TO PUBLIC USING (extension = 'presence')",
        "AS RESTRICTIVE FOR ALL TO PUBLIC WITH CHECK (extension = 'broadcast')", "FOR SELECT TO authenticated",
        "FOR INSERT TO authenticated", R"(FOR SELECT TO "Mixed ""Case""", viewer USING (true))"}) {
    CAPTURE(what);
    BothWays::policy("p1", what);
    CHECK(database.agree(questions) > 0);
    BothWays::policy("p0", "FOR ALL TO authenticated, viewer USING (true)");
    CHECK(database.agree(questions) > 0);
    BothWays::drop_policies();
  }
}

TEST_CASE("any mixture of policies is answered as by probes [A-036]") {
  BothWays database;
  const std::uint32_t seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto one_of = [&](const auto& all) -> const auto& { return all[random() % std::size(all)]; };
  const auto questions = all_questions();
  const std::vector<std::string> kinds = {"", "AS PERMISSIVE ", "AS RESTRICTIVE "};
  const std::vector<std::string> commands = {"FOR SELECT ", "FOR INSERT ", "FOR ALL "};
  const std::vector<std::string> to = {"TO authenticated ", "TO PUBLIC ", "TO anon, editor ", "TO viewer, reader "};
  for (int round = 0; round < 25; ++round) {
    std::string made;
    for (std::uint32_t i = 0, count = 1 + random() % 6; i < count; ++i) {
      const std::string& command = one_of(commands);
      const std::string condition = "(" + one_of(kConditions) + ")";
      const bool has_check = command == "FOR INSERT " || (command == "FOR ALL " && random() % 2 == 0);
      std::string what = one_of(kinds) + command + one_of(to);
      if (command != "FOR INSERT ") what += "USING " + condition;
      if (has_check) what += " WITH CHECK (" + one_of(kConditions) + ")";
      made += what + "\n";
      BothWays::policy("p" + std::to_string(random() % 1000) + "_" + std::to_string(i), what);
    }
    CAPTURE(made);
    CHECK(database.agree(questions) > 0);
    BothWays::drop_policies();
  }
}

TEST_CASE("a policy that fails fails also where a restrictive one denies anyway [A-036]") {
  BothWays database;
  BothWays::policy("a", "FOR ALL TO authenticated USING (raises(topic))");
  BothWays::policy("b", "AS RESTRICTIVE FOR ALL TO authenticated USING (false)");
  database.agree({question("room-1", kAll)});
}

TEST_CASE("what a row of constants cannot give is left to the probes [A-036]") {
  const auto questions = std::vector{question("room-1", kRead), question("room-2", kAll, "authenticated", "bob"),
                                     question("room-3", kRead)};
  for (const char* condition :
       {"tableoid::regclass::text LIKE '%messages%'", "messages IS NOT NULL", "xmin IS NOT NULL AND ctid IS NOT NULL",
        "row_to_json(messages) ->> 'topic' = 'room-1'", "counts()", "private.is_alice()", "twice(topic, topic)"}) {
    CAPTURE(condition);
    BothWays database;
    BothWays::policy("r", std::string("FOR SELECT TO authenticated USING (") + condition + ")");
    BothWays::policy("w", std::string("FOR INSERT TO authenticated WITH CHECK (") + condition + ")");
    CHECK(database.agree(questions) == 0);
  }
  BothWays database;
  BothWays::policy("slow", "FOR ALL TO authenticated USING (pg_sleep(0.2) IS NOT NULL)");
  CHECK(database.agree({questions[0]}) == 1);
  CHECK(database.agree(questions) == 0);  // others wait behind it
  BothWays::drop_policies();
  BothWays::policy("long", "FOR SELECT TO authenticated USING (topic <> '" + std::string(70'000, 'x') + "')");
  CHECK(database.agree(questions) == 0);
}

// It looks at the table through the policies that are asked about.
TEST_CASE("a policy that looks at the messages themselves sees the probes [A-036]") {
  BothWays database;
  BothWays::policy("r", "FOR SELECT TO authenticated USING (true)");
  BothWays::policy("w",
                   "FOR INSERT TO authenticated WITH CHECK (extension = 'broadcast' OR (SELECT count(*) FROM "
                   "realtime.messages m WHERE m.extension = 'broadcast') > 0)");
  CHECK(database.agree({question("room-1", {.broadcast_write = true, .presence_write = true})}) == 0);
}

TEST_CASE("a table that users have changed is asked by probes [A-036]") {
  const auto questions = std::vector{question("room-1", kAll), question("room-2", kAll)};
  const std::string today =
      PostgresCluster::shared().sql("SELECT 'realtime.messages_' || to_char(now() AT TIME ZONE 'utc', 'YYYY_MM_DD')");
  const std::pair<std::string, std::string> changes[] = {
      {"CREATE FUNCTION public.drops() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.topic = 'room-2' THEN "
       "RETURN "
       "NULL; END IF; RETURN new; END $$; CREATE TRIGGER t BEFORE INSERT ON realtime.messages FOR EACH ROW EXECUTE "
       "FUNCTION public.drops()",
       "DROP TRIGGER t ON realtime.messages; DROP FUNCTION public.drops()"},
      {"ALTER TABLE realtime.messages ADD CONSTRAINT c CHECK (topic <> 'room-2')",
       "ALTER TABLE realtime.messages DROP CONSTRAINT c"},
      {"ALTER TABLE " + today + " ADD CONSTRAINT c CHECK (topic <> 'room-2')",
       "ALTER TABLE " + today + " DROP CONSTRAINT c"},
      {"CREATE UNIQUE INDEX i ON " + today + " (topic)", "DROP INDEX realtime.i"},
      {"ALTER TABLE realtime.messages ADD COLUMN extra text NOT NULL DEFAULT 'x'",
       "ALTER TABLE realtime.messages DROP COLUMN extra"},
      {"ALTER TABLE realtime.messages ALTER COLUMN private SET DEFAULT true",
       "ALTER TABLE realtime.messages ALTER COLUMN private SET DEFAULT false"},
      {"ALTER TABLE realtime.messages ALTER COLUMN event SET NOT NULL",
       "ALTER TABLE realtime.messages ALTER COLUMN event DROP NOT NULL"},
      {"CREATE RULE nothing AS ON INSERT TO realtime.messages WHERE new.topic = 'room-2' DO INSTEAD NOTHING",
       "DROP RULE nothing ON realtime.messages"}};
  for (const auto& [change, undo] : changes) {
    BothWays database;
    BothWays::policy("all_", "FOR ALL TO authenticated USING (NOT private)");
    CAPTURE(change);
    CHECK(database.agree(questions) == 2);
    sql(change);
    CHECK(database.agree(questions) == 0);
    sql(undo);
  }
}

TEST_CASE("a changed policy counts for the next question, and so do rights of the role [A-036] [A-009]") {
  BothWays database;
  const auto asked = std::vector{question("room-1", kAll), question("room-1", kAll, "viewer")};
  const auto says = [&](const char* user, const char* viewer) {
    CHECK(database.ask(PolicyMethod::kExpressions, asked) == std::vector<std::string>{user, viewer});
  };
  says("----", "----");
  BothWays::policy("p", "FOR SELECT TO authenticated USING (extension = 'broadcast')");
  says("+---", "----");
  sql("ALTER POLICY p ON realtime.messages USING (extension = 'presence')");
  says("--+-", "----");
  sql("ALTER POLICY p ON realtime.messages TO viewer");
  says("----", "--+-");
  BothWays::policy("p2", "FOR ALL TO authenticated USING (true)");
  says("++++", "--+-");
  sql("ALTER ROLE viewer INHERIT");
  if (sql("SELECT pg_has_role('viewer', 'authenticated', 'USAGE')") == "t") says("++++", "++++");
  sql("ALTER ROLE viewer NOINHERIT BYPASSRLS");
  says("++++", "++++");
  sql("ALTER ROLE viewer NOBYPASSRLS; ALTER TABLE realtime.messages DISABLE ROW LEVEL SECURITY");
  says("++++", "++++");
  sql("ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY; REVOKE INSERT ON realtime.messages FROM authenticated");
  says("+-+-", "--+-");
  sql("GRANT INSERT ON realtime.messages TO authenticated");
  // A function that a name would be taken for from now on, in the schema that comes first for this role.
  sql("ALTER POLICY p2 ON realtime.messages USING (is_member(topic)) WITH CHECK (true)");
  says("++++", "--+-");
  sql("CREATE SCHEMA authenticated; GRANT USAGE ON SCHEMA authenticated TO PUBLIC; CREATE FUNCTION "
      "authenticated.is_member(topic text) RETURNS boolean LANGUAGE sql AS 'SELECT false'");
  says("++++", "--+-");
  CHECK(database.agree(asked) == 2);
  sql("DROP SCHEMA authenticated CASCADE");
}

TEST_CASE("nothing is written, not even to be rolled back, and a question costs one transaction [A-036]") {
  const PostgresCluster::Setting quiet(PostgresCluster::shared(), "autovacuum", "off");
  BothWays database;
  BothWays::policy("r", "FOR ALL TO authenticated USING (is_member(topic))");
  PolicyCounters& counters = database.counters(PolicyMethod::kExpressions);
  const auto questions = std::vector{question("room-1", kAll), question("room-2", kAll)};
  const std::vector<std::string> expected = {"++++", "----"};
  CHECK(database.ask(PolicyMethod::kExpressions, questions) == expected);  // learns the policies
  const std::string before = sql("SELECT pg_snapshot_xmax(pg_current_snapshot())");
  const std::uint64_t transactions = counters.transactions.value();
  for (int i = 0; i < 10; ++i) CHECK(database.ask(PolicyMethod::kExpressions, questions) == expected);
  CHECK(counters.transactions.value() <= transactions + 20);  // the first by itself, then the other
  CHECK(counters.by_expressions.value() == 22);
  // No transaction number was taken, as each that writes takes one.
  CHECK(sql("SELECT pg_snapshot_xmax(pg_current_snapshot())") == before);
  CHECK(database.ask(PolicyMethod::kProbes, questions) == expected);
  CHECK(sql("SELECT pg_snapshot_xmax(pg_current_snapshot())") != before);
}

TEST_CASE("no partition is needed where none is written to [A-036]") {
  BothWays database;
  BothWays::policy("r", "FOR SELECT TO authenticated USING (true)");
  const std::string today = sql("SELECT 'realtime.messages_' || to_char(now() AT TIME ZONE 'utc', 'YYYY_MM_DD')");
  sql("ALTER TABLE realtime.messages DETACH PARTITION " + today);
  CHECK(database.ask(PolicyMethod::kExpressions, {question("room-1", kRead)}) == std::vector<std::string>{"+?+?"});
  CHECK(database.ask(PolicyMethod::kProbes, {question("room-1", kRead)})[0].starts_with("2 "));
  sql("ALTER TABLE realtime.messages ATTACH PARTITION " + today +
      " FOR VALUES FROM ((now() AT TIME ZONE 'utc')::date::timestamp) TO "
      "(((now() AT TIME ZONE 'utc')::date + 1)::timestamp)");
}

TEST_CASE("roles that are too many to be remembered are asked about all the same") {
  BothWays database;
  BothWays::policy("r", "FOR SELECT TO PUBLIC USING (topic = 'room-1')");
  std::vector<RightsQuestion> questions;
  std::string make;
  for (std::size_t i = 0; i < KnownExpressions::kRolesMax + 20; ++i) {
    const std::string role = "one_of_many_" + std::to_string(i);
    make += "CREATE ROLE " + role + " IN ROLE authenticated;";
    questions.push_back(question(i % 2 == 0 ? "room-1" : "room-2", kRead, role));
  }
  sql(make);
  CHECK(database.agree(questions) > 0);
  sql("DO $$ BEGIN FOR i IN 0.." + std::to_string(questions.size() - 1) +
      " LOOP EXECUTE 'DROP ROLE one_of_many_' || i; END LOOP; END $$");
}

}  // namespace
}  // namespace rt::database
