#include "services/database/policy_probes.h"

#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>

#include "testing/tenant_schema.h"

namespace rt::database {
namespace {

using testing::PostgresCluster;
using testing::PostgresLoop;

std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

// The database of a tenant, made once; each test has policies of its own.
struct Database {
  Database() {
    connection = loop.open();
    testing::make_tenant_schema(loop);
  }
  ~Database() {
    sql("DO $$ DECLARE p record; BEGIN FOR p IN SELECT polname FROM pg_policy WHERE polrelid = "
        "'realtime.messages'::regclass LOOP EXECUTE format('DROP POLICY %I ON realtime.messages', p.polname); "
        "END LOOP; END $$");
  }

  void policy(const std::string& name, const std::string& what) {
    sql("CREATE POLICY " + name + " ON realtime.messages " + what);
  }
  ProbeAnswers ask(const std::vector<RightsQuestion>& questions) {
    std::vector<const RightsQuestion*> all;
    for (const RightsQuestion& question : questions) all.push_back(&question);
    ProbeBatch batch(all, std::chrono::system_clock::now(), random);
    const auto reply = loop.run(connection->run_sections(batch.take()));
    // Whatever was asked, nothing is left: no row, no role, no setting.
    CHECK(sql("SELECT count(*) FROM realtime.messages") == "0");
    const auto left = loop.run(connection->run(testing::query(
        "SELECT concat_ws(' ', current_user, nullif(current_setting('realtime.topic', true), ''), "
        "nullif(current_setting('request.jwt.claims', true), ''), nullif(current_setting('request.headers', true), "
        "''), "
        "nullif(current_setting('request.jwt.claim.sub', true), ''), current_setting('plan_cache_mode'))")));
    CHECK(testing::only_field(left) == "postgres auto");
    return batch.read(reply);
  }
  RightsAnswer ask_one(const RightsQuestion& question) {
    const ProbeAnswers answers = ask({question});
    REQUIRE_FALSE(answers.answers[0].has_to_be_alone);
    return answers.answers[0].answer;
  }

  PostgresLoop loop;
  SystemRandom random;
  std::unique_ptr<postgres::Connection> connection;
};

RightsQuestion question(std::string topic, AskedRights asked, const std::string& role = "authenticated",
                        const std::string& more_claims = "") {
  RightsQuestion out;
  out.topic = std::move(topic);
  out.asked = asked;
  out.claims.role = role;
  out.claims.json = R"({"role":")" + role + "\"" + more_claims + "}";
  return out;
}

constexpr AskedRights kRead{.broadcast_read = true, .presence_read = true};
constexpr AskedRights kWrite{.broadcast_write = true, .presence_write = true};
constexpr AskedRights kAll{true, true, true, true};

TEST_CASE("without a policy users may nothing, and a role that bypasses them everything [A-001]") {
  Database database;
  CHECK(database.ask_one(question("t", kRead)) == Rights{.broadcast_read = false, .presence_read = false});
  CHECK(database.ask_one(question("t", {.broadcast_write = true})) == Rights{.broadcast_write = false});
  CHECK(database.ask_one(question("t", {.presence_write = true})) == Rights{.presence_write = false});
  CHECK(database.ask_one(question("t", kAll, "service_role")) == Rights::all());
}

TEST_CASE("each right is asked for by itself, and what is not asked for stays unknown [A-004]") {
  Database database;
  database.policy("b", "FOR SELECT TO authenticated USING (extension = 'broadcast')");
  database.policy("p", "FOR INSERT TO authenticated WITH CHECK (extension = 'presence')");
  CHECK(database.ask_one(question("t", kRead)) == Rights{.broadcast_read = true, .presence_read = false});
  CHECK(database.ask_one(question("t", {.presence_write = true})) == Rights{.presence_write = true});
  CHECK(database.ask_one(question("t", {.broadcast_read = true})) == Rights{.broadcast_read = true});
  CHECK(database.ask_one(question("t", {.broadcast_write = true})) == Rights{.broadcast_write = false});
}

TEST_CASE("who may write need not be able to read what was written [A-008]") {
  Database database;
  database.policy("w", "FOR INSERT TO authenticated WITH CHECK (true)");
  CHECK(database.ask_one(question("t", kAll)) == Rights{false, true, false, true});
}

TEST_CASE("policies see topic, claims, subject, role and headers as they were given [A-005] [A-006] [D-034]") {
  Database database;
  database.policy("everything", R"(FOR SELECT TO authenticated USING (
      realtime.topic() = 'a:"b" ''c'' \d' AND topic = realtime.topic()
      AND current_setting('request.jwt.claims', true)::jsonb ->> 'plan' = 'gold "ü"'
      AND current_setting('request.jwt.claims', true) NOT LIKE '%.5%'
      AND current_setting('request.jwt.claim.sub', true) = 'me' AND current_setting('request.jwt.claim.role') = 'authenticated'
      AND current_setting('request.headers', true)::json ->> 'x-tier' = '1' AND current_user = 'authenticated'
      AND NOT private AND event IS NULL AND payload IS NULL))");
  RightsQuestion asked =
      question(R"(a:"b" 'c' \d)", kRead, "authenticated", R"(,"plan":"gold \"ü\"","exp":1.5,"iat":2.5)");
  asked.claims.subject = "me";
  asked.headers = std::make_shared<const std::string>(R"({"x-tier":"1"})");
  CHECK(database.ask_one(asked) == Rights{.broadcast_read = true, .presence_read = true});
  asked.headers = nullptr;
  CHECK(database.ask_one(asked) == Rights{.broadcast_read = false, .presence_read = false});
}

TEST_CASE("a token without a subject gives an empty setting, not none [A-007] [D-035]") {
  Database database;
  database.policy("s", "FOR SELECT TO authenticated USING (current_setting('request.jwt.claim.sub') = '')");
  CHECK(database.ask_one(question("t", kRead)).value().broadcast_read == true);
}

TEST_CASE("what fails for one is nothing to the others of its transaction [A-018] [A-032]") {
  Database database;
  database.policy("few", "FOR SELECT TO authenticated USING (topic LIKE 'yes%')");
  database.policy("raises",
                  "FOR SELECT TO authenticated USING (topic = 'raises' AND 1 / length(substr(topic, 7)) > 0)");
  database.policy("w", "FOR INSERT TO authenticated WITH CHECK (topic = 'yes')");
  const ProbeAnswers answers =
      database.ask({question("yes", kAll), question("raises", kRead), question("no", kRead),
                    question("yes", kRead, "nobody"), question("yes 2", kRead), question("t", kAll, "service_role")});
  REQUIRE(answers.answers.size() == 6);
  for (const ProbeAnswer& one : answers.answers) CHECK(one.is_complete());
  CHECK(answers.answers[0].answer == Rights::all());
  CHECK(answers.answers[1].answer.error().kind == RightsFaultKind::kPolicy);
  CHECK(answers.answers[1].answer.error().text == "division by zero (22012)");
  CHECK(answers.answers[2].answer == Rights{.broadcast_read = false, .presence_read = false});
  CHECK(answers.answers[3].answer.error().text == "role \"nobody\" does not exist (22023)");
  CHECK(answers.answers[4].answer == Rights{.broadcast_read = true, .presence_read = true});
  CHECK(answers.answers[5].answer == Rights::all());
}

TEST_CASE("the presence of who may not broadcast is left to be asked about, so that its probe is written once") {
  Database database;
  database.policy("p", "FOR INSERT TO authenticated WITH CHECK (extension = 'presence')");
  database.policy("b", "FOR INSERT TO anon WITH CHECK (extension = 'broadcast')");
  const ProbeAnswers answers =
      database.ask({question("t", kWrite), question("t", kWrite, "anon"), question("t", {.presence_write = true})});
  CHECK(answers.answers[0].answer == Rights{.broadcast_write = false});
  CHECK(answers.answers[0].remains == AskedRights{.presence_write = true});
  CHECK_FALSE(answers.answers[0].is_complete());
  CHECK(answers.answers[1].answer == Rights{.broadcast_write = true, .presence_write = false});
  CHECK(answers.answers[2].answer == Rights{.presence_write = true});
}

TEST_CASE("policies that look at the table are asked about one at a time") {
  Database database;
  database.policy("alone", "FOR SELECT TO authenticated USING ((SELECT count(*) FROM realtime.messages m) <= 2)");
  const ProbeAnswers two = database.ask({question("a", kRead), question("b", kRead)});
  CHECK(two.policies_see_probes);
  CHECK(two.answers[0].has_to_be_alone);
  CHECK(two.answers[1].has_to_be_alone);
  // Such a policy looks at itself, which Postgres refuses.
  CHECK(database.ask_one(question("a", kRead)).error().kind == RightsFaultKind::kPolicy);
}

TEST_CASE("a function that calls itself immutable is asked anew for each user") {
  Database database;
  sql("CREATE FUNCTION public.whoever() RETURNS text LANGUAGE sql IMMUTABLE AS "
      "$$ SELECT current_setting('request.jwt.claim.sub', true) $$");
  database.policy("me", "FOR SELECT TO authenticated USING (public.whoever() = 'me')");
  std::vector<RightsQuestion> questions;
  for (int i = 0; i < 20; ++i) {
    questions.push_back(question("t", kRead));
    questions.back().claims.subject = i % 2 == 0 ? "me" : "other";
  }
  const ProbeAnswers answers = database.ask(questions);
  for (std::size_t i = 0; i < questions.size(); ++i) CHECK(answers.answers[i].answer->broadcast_read == (i % 2 == 0));
  sql("DROP POLICY me ON realtime.messages; DROP FUNCTION public.whoever()");
}

TEST_CASE("a slow policy holds up those behind it for a moment only, and is asked again by itself") {
  Database database;
  database.policy("slow", "FOR SELECT TO authenticated USING (topic <> 'slow' OR pg_sleep(0.6) IS NOT NULL)");
  const ProbeAnswers both = database.ask({question("slow", kRead), question("quick", kRead)});
  CHECK(both.answers[0].has_to_be_alone);
  CHECK(both.answers[1].answer->broadcast_read == true);
  CHECK(database.ask_one(question("slow", kRead)).value().broadcast_read == true);
}

TEST_CASE("a missing partition is told from policies that fail [A-021]") {
  Database database;
  RightsQuestion asked = question("t", kRead);
  const std::vector<const RightsQuestion*> all = {&asked};
  ProbeBatch late(all, std::chrono::system_clock::now() + std::chrono::days(400), database.random);
  const auto reply = database.loop.run(database.connection->run_sections(late.take()));
  CHECK(late.read(reply).answers[0].answer.error().kind == RightsFaultKind::kMissingPartition);
  sql("ALTER TABLE realtime.messages ADD CONSTRAINT mine CHECK (topic <> 'refused')");
  CHECK(database.ask_one(question("refused", kRead)).error().kind == RightsFaultKind::kPolicy);
  // One such topic is nothing to the others: each is asked again.
  const ProbeAnswers two = database.ask({question("refused", kRead), question("t", kRead)});
  CHECK(two.answers[0].has_to_be_alone);
  CHECK(two.answers[1].has_to_be_alone);
  sql("ALTER TABLE realtime.messages DROP CONSTRAINT mine");
}

TEST_CASE("triggers of users fire for probes, before any setting, and leave nothing [A-026]") {
  Database database;
  sql("CREATE TABLE public.seen (what text); CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "INSERT INTO public.seen VALUES (new.topic); IF coalesce(current_setting('realtime.topic', true), '') <> '' THEN "
      "RAISE 'too late'; END IF; IF new.topic = 'vanishes' THEN RETURN NULL; END IF; RETURN new; END $$; "
      "CREATE TRIGGER see BEFORE INSERT ON realtime.messages FOR EACH ROW EXECUTE FUNCTION public.see()");
  database.policy("r", "FOR SELECT TO authenticated USING (true)");
  CHECK(database.ask_one(question("t", kRead)).value().broadcast_read == true);
  CHECK(database.ask_one(question("vanishes", kRead)).value().broadcast_read == false);
  CHECK(sql("SELECT count(*) FROM public.seen") == "0");
  sql("DROP TRIGGER see ON realtime.messages; DROP FUNCTION public.see; DROP TABLE public.seen");
}

TEST_CASE("a role that would be the login's is refused, and so is none at all [A-020] [D-036]") {
  const auto kind = [](const std::string& role_json, std::string role) {
    RightsQuestion asked;
    asked.claims.role = std::move(role);
    asked.claims.json = "{\"role\":" + role_json + "}";
    const auto fault = refused_unasked(asked, "admin");
    return fault ? std::optional(fault->kind) : std::nullopt;
  };
  using Kind = RightsFaultKind;
  for (const char* role : {"none", "None", "NONE", "nOnE"})
    CHECK(kind("\"" + std::string(role) + "\"", role) == Kind::kPolicy);
  CHECK(kind("null", "") == Kind::kPolicy);
  CHECK(kind("\"\"", "") == Kind::kPolicy);
  CHECK(kind("7", "") == Kind::kOther);
  CHECK(kind("\"admin\"", "admin") == Kind::kPolicy);
  CHECK(kind("\"nones\"", "nones") == std::nullopt);
  CHECK(kind("\"authenticated\"", "authenticated") == std::nullopt);
}

TEST_CASE("what Postgres cannot store is refused before it is cut short") {
  RightsQuestion asked = question(std::string("secret\0more", 11), kRead);
  CHECK(refused_unasked(asked, "")->kind == RightsFaultKind::kPolicy);
}

}  // namespace
}  // namespace rt::database
