#include "services/database/policy_checks.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>

#include "testing/tenant_schema.h"

namespace rt::database {
namespace {

using testing::PostgresCluster;
using testing::PostgresLoop;

std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

// Who asks, and what they are told, in that order.
struct Desk {
  explicit Desk(const PolicyChecksConfig& config = {}) {
    testing::make_tenant_schema(loop);
    sql("DROP POLICY IF EXISTS these ON realtime.messages; CREATE POLICY these ON realtime.messages FOR SELECT TO "
        "authenticated USING (topic LIKE 'yes%' OR (topic = 'slow' AND pg_sleep(2) IS NOT NULL))");
    sql("DROP POLICY IF EXISTS those ON realtime.messages; CREATE POLICY those ON realtime.messages FOR INSERT TO "
        "authenticated WITH CHECK (extension = 'presence')");
    postgres::PoolConfig pool_config;
    pool_config.connections_max = config.batches_max;
    pool_config.pipeline_max = 1;
    pool = std::make_unique<postgres::Pool>(loop.surroundings, PostgresLoop::settings(), pool_config, clock, random);
    checks = std::make_unique<PolicyChecks>(loop.io, *pool, config, clock, random, given_up, counters, times,
                                            [this] { ++complaints; });
  }
  ~Desk() {
    loop.on_loop([&] { checks->close(); });
    loop.run(pool->stop());
    loop.run(checks->drained());
    sql("DROP POLICY these ON realtime.messages; DROP POLICY those ON realtime.messages");
  }

  static RightsQuestion question_of(std::string topic, const std::string& subject, AskedRights asked) {
    RightsQuestion question;
    question.topic = std::move(topic);
    question.claims.role = "authenticated";
    question.claims.subject = subject;
    question.claims.json = R"({"role":"authenticated","sub":")" + subject + "\"}";
    question.asked = asked;
    return question;
  }
  // At the same moment: who asks, and about which topic.
  void ask_all(const std::vector<std::pair<std::string, std::string>>& questions) {
    answers.resize(questions.size());
    loop.on_loop([&] {
      for (std::size_t i = 0; i < questions.size(); ++i)
        ask(i, question_of(questions[i].second, questions[i].first, {.broadcast_read = true}));
    });
  }
  std::size_t ask(std::string topic, const std::string& subject = "", AskedRights asked = {.broadcast_read = true}) {
    RightsQuestion question = question_of(std::move(topic), subject, asked);
    const std::size_t place = answers.size();
    answers.emplace_back();
    loop.on_loop([&] { ask(place, std::move(question)); });
    return place;
  }
  void ask(std::size_t place, RightsQuestion question) {
    checks->ask(std::move(question), [this, place](RightsAnswer answer) {
      CHECK_FALSE(answers[place].has_value());
      answers[place] = std::move(answer);
    });
  }
  void until_answered() {
    loop.until([&] { return std::ranges::all_of(answers, [](const auto& answer) { return answer.has_value(); }); });
  }

  PostgresLoop loop;
  SystemClock clock;
  SystemRandom random;
  RecentFailures given_up{1, std::chrono::seconds(30)};
  PolicyCounters counters;
  CheckTimes times;
  int complaints = 0;
  std::deque<std::optional<RightsAnswer>> answers;
  std::unique_ptr<postgres::Pool> pool;
  std::unique_ptr<PolicyChecks> checks;
};

TEST_CASE("a crowd of different users shares few transactions, and each gets its own answer [A-032]") {
  Desk desk;
  std::vector<std::pair<std::string, std::string>> questions;
  for (int i = 0; i < 300; ++i) questions.emplace_back(std::to_string(i), i % 3 == 0 ? "no" : "yes");
  desk.ask_all(questions);
  desk.until_answered();
  for (std::size_t i = 0; i < 300; ++i) CHECK((*desk.answers[i])->broadcast_read == (i % 3 != 0));
  CHECK(desk.counters.questions.value() == 300);
  CHECK(desk.counters.transactions.value() == 5);  // 64 at a time
}

TEST_CASE("who asks what somebody else is asking gets the same answer, and nothing is remembered [A-033]") {
  Desk desk;
  desk.ask_all(std::vector<std::pair<std::string, std::string>>(20, {"me", "yes"}));
  desk.until_answered();
  CHECK(desk.counters.shared.value() == 19);
  CHECK(desk.counters.transactions.value() == 1);
  desk.ask("yes", "me");
  desk.ask("yes", "you");
  desk.until_answered();
  CHECK(desk.counters.shared.value() == 19);
}

TEST_CASE("a question that was sent is not shared: a policy may change before the next one asks [A-009] [A-033]") {
  Desk desk;
  const std::size_t before = desk.ask("slow", "me");
  desk.loop.until([&] { return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"; });
  sql("ALTER POLICY these ON realtime.messages USING (topic LIKE 'yes%')");
  const std::size_t after = desk.ask("slow", "me");
  const std::size_t with_it = desk.ask("slow", "me");
  desk.until_answered();
  CHECK((*desk.answers[before])->broadcast_read == true);
  CHECK((*desk.answers[after])->broadcast_read == false);
  CHECK((*desk.answers[with_it])->broadcast_read == false);
  CHECK(desk.counters.shared.value() == 1);
}

TEST_CASE("too many who wait for the same answer are refused") {
  Desk desk({.sharing_max = 3});
  desk.ask_all(std::vector<std::pair<std::string, std::string>>(5, {"me", "yes"}));
  desk.until_answered();
  CHECK(desk.counters.refused.value() == 2);
  CHECK((*desk.answers[2])->broadcast_read == true);
  CHECK((*desk.answers[3]).error().kind == RightsFaultKind::kPoolExhausted);
}

TEST_CASE("who may not broadcast is asked about presence in a second transaction, and gets one answer") {
  Desk desk;
  desk.ask("yes", "me", {.broadcast_read = true, .broadcast_write = true, .presence_write = true});
  desk.until_answered();
  CHECK(*desk.answers[0] == Rights{.broadcast_read = true, .broadcast_write = false, .presence_write = true});
  CHECK(desk.counters.transactions.value() == 2);
}

TEST_CASE("who waits too long for a connection is told so, and those after at once [A-023]") {
  Desk desk({.batches_max = 1, .queue_target = std::chrono::milliseconds(300)});
  desk.ask("slow");
  desk.loop.until([&] { return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"; });
  const std::size_t late = desk.ask("yes");
  desk.loop.until([&] { return desk.answers[late].has_value(); });
  CHECK((*desk.answers[late]).error().kind == RightsFaultKind::kPoolExhausted);
  CHECK(desk.complaints == 1);
  const std::size_t refused = desk.ask("yes");
  CHECK((*desk.answers[refused]).error().kind == RightsFaultKind::kPoolExhausted);
  CHECK(desk.counters.refused.value() == 1);
  desk.until_answered();
  CHECK((*desk.answers[0])->broadcast_read == true);
}

TEST_CASE("with two connections nobody waits behind a slow policy") {
  Desk desk({.batches_max = 2});
  desk.ask("slow");
  desk.loop.until([&] { return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"; });
  const std::size_t quick = desk.ask("yes");
  desk.loop.until([&] { return desk.answers[quick].has_value(); });
  CHECK_FALSE(desk.answers[0].has_value());
  desk.until_answered();
}

TEST_CASE("too many that wait are refused, and one that waits is answered when all ends") {
  Desk desk({.batches_max = 1, .waiting_max = 2});
  desk.ask("slow");
  desk.loop.until([&] { return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"; });
  for (const char* topic : {"yes 1", "yes 2", "yes 3"}) desk.ask(topic);
  CHECK((*desk.answers[3]).error().kind == RightsFaultKind::kPoolExhausted);
  desk.loop.on_loop([&] { desk.checks->close(); });
  CHECK((*desk.answers[1]).error().kind == RightsFaultKind::kUnavailable);
  CHECK((*desk.answers[2]).error().kind == RightsFaultKind::kUnavailable);
  const std::size_t after = desk.ask("yes");
  CHECK((*desk.answers[after]).error().kind == RightsFaultKind::kUnavailable);
}

}  // namespace
}  // namespace rt::database
