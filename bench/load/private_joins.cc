// Joins of private channels, for each of which the policies of the tenant's Postgres are asked: by a crowd of which
// everybody asks something else, by one that asks the same, and by somebody alone.
//
// Server and clients have a core each, as always; Postgres runs on both, where the kernel finds room. So it shares them
// with whom it serves, and the figures are those of three parties on two cores.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/http_load.h"
#include "load/joiners.h"
#include "load/postgres_process.h"
#include "load/scenario.h"
#include "load/with_database.h"

namespace rt::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kClients = 1'000;
constexpr std::size_t kOwnTopicsEach = 20;     // of a run
constexpr std::size_t kSharedTopicsEach = 40;  // likewise
constexpr std::size_t kJoinsAlone = 200;       // likewise

constexpr double kOwnPerSecondMin = 2'000;
constexpr double kSharedPerSecondMin = 8'000;
constexpr double kTransactionsPerJoinAloneMax = 1;

// Whoever has signed in may join and send.
constexpr std::string_view kPolicies =
    "CREATE POLICY receive ON realtime.messages FOR SELECT TO authenticated USING (true);"
    "CREATE POLICY send ON realtime.messages FOR INSERT TO authenticated WITH CHECK (true);";

// Without regard to labels; 0 where there is none.
double sample(std::string_view metrics, std::string_view name) {
  std::size_t at = 0;
  do {
    at = metrics.find("\n" + std::string(name), at) + 1;
    if (at == 0) return 0;
  } while (metrics[at + name.size()] != ' ' && metrics[at + name.size()] != '{');
  const std::string_view line = metrics.substr(at, metrics.find('\n', at) - at);
  double value = 0;
  std::from_chars(line.data() + line.rfind(' ') + 1, line.data() + line.size(), value);
  return value;
}

// What all have counted and used so far.
struct Counts {
  double questions = 0;
  double transactions = 0;
  double server_cpu_ns = 0;
  double postgres_cpu_ns = 0;
};

class Meter {
 public:
  static Result<Meter> of(const ServerProcess& server, const PostgresProcess& postgres) {
    auto scraper = HttpLoad::connect(server.port(), 1);
    if (!scraper) return tl::make_unexpected(scraper.error());
    return Meter(server, postgres, std::move(*scraper));
  }

  Result<Counts> read() {
    const std::string request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " +
                                server_->token(kMetricsSecret) + "\r\n\r\n";
    if (const auto ran = scraper_.run(request, 1, 200); !ran) return tl::make_unexpected(ran.error());
    const auto cpu = cpu_times(*server_, *postgres_);
    if (!cpu) return tl::make_unexpected(cpu.error());
    return Counts{.questions = sample(scraper_.body(), "realtime_policy_questions_total"),
                  .transactions = sample(scraper_.body(), "realtime_policy_transactions_total"),
                  .server_cpu_ns = cpu->server_ns,
                  .postgres_cpu_ns = cpu->postgres_ns};
  }

 private:
  Meter(const ServerProcess& server, const PostgresProcess& postgres, HttpLoad scraper)
      : server_(&server), postgres_(&postgres), scraper_(std::move(scraper)) {}

  const ServerProcess* server_;
  const PostgresProcess* postgres_;
  HttpLoad scraper_;
};

struct Figures {
  Series per_second;
  Series server_cpu_us;
  Series postgres_cpu_us;
  Series joins_per_transaction;
};

std::vector<std::string> tokens_of_users(const ServerProcess& server, std::size_t users) {
  std::vector<std::string> tokens;
  for (std::size_t user = 0; user < users; ++user)
    tokens.push_back(server.token_of_user("user-" + std::to_string(user)));
  return tokens;
}

Result<void> measure_run(Meter& meter, Joiners& joiners, std::size_t each, Figures& out) {
  const auto before = meter.read();
  if (!before) return tl::make_unexpected(before.error());
  const auto begin = Clock::now();
  if (const auto joined = joiners.join(each); !joined) return joined;
  const std::chrono::duration<double> took = Clock::now() - begin;
  const auto after = meter.read();
  if (!after) return tl::make_unexpected(after.error());

  const auto joins = static_cast<double>(joiners.size() * each);
  if (after->questions - before->questions != joins) return fail("not every private join was a question to policies");
  out.per_second.push_back(joins / took.count());
  out.server_cpu_us.push_back((after->server_cpu_ns - before->server_cpu_ns) / 1e3 / joins);
  out.postgres_cpu_us.push_back((after->postgres_cpu_ns - before->postgres_cpu_ns) / 1e3 / joins);
  out.joins_per_transaction.push_back(joins / (after->transactions - before->transactions));
  return {};
}

void add(const Bench& bench, const std::string& scenario, Figures figures, double per_second_min) {
  bench.report.add({.scenario = scenario,
                    .figure = "joins",
                    .unit = "1/s",
                    .values = std::move(figures.per_second),
                    .value_min = per_second_min});
  bench.report.add({.scenario = scenario,
                    .figure = "server CPU per join",
                    .unit = "µs",
                    .decimals = 1,
                    .values = std::move(figures.server_cpu_us)});
  bench.report.add({.scenario = scenario,
                    .figure = "Postgres CPU per join",
                    .unit = "µs",
                    .decimals = 1,
                    .values = std::move(figures.postgres_cpu_us)});
  bench.report.add({.scenario = scenario,
                    .figure = "joins per transaction",
                    .unit = "joins",
                    .decimals = 1,
                    .values = std::move(figures.joins_per_transaction)});
}

struct Crowded {
  std::string scenario;
  std::vector<std::string> tokens;  // one for each client
  Joiners::TopicOf topic_of;
  std::size_t topics_each;
  double per_second_min;
};

Result<void> measure_crowd(const Bench& bench, const ServerProcess& server, Meter& meter, Crowded what) {
  Joiners joiners(bench.loop, server.port(), server.handshake(), Joiners::Channels::kPrivate, std::move(what.topic_of));
  if (const auto ok = joiners.connect(std::move(what.tokens)); !ok) return ok;
  if (const auto ok = joiners.join(1); !ok) return ok;  // what the first ones bring into being is not measured
  Figures figures;
  for (int run = 0; run < bench.runs; ++run) {
    if (const auto ok = measure_run(meter, joiners, what.topics_each, figures); !ok) return ok;
  }
  add(bench, what.scenario, std::move(figures), what.per_second_min);
  return {};
}

Joiners::TopicOf own_topics(const std::string& prefix) {
  return [prefix](std::size_t client, std::size_t join) {
    return "realtime:" + prefix + "-" + std::to_string(client) + "-" + std::to_string(join);
  };
}

Joiners::TopicOf shared_topics(const std::string& prefix) {
  return [prefix](std::size_t, std::size_t join) { return "realtime:" + prefix + "-" + std::to_string(join); };
}

// The time from a join to its answer, each join by itself; the median of a run.
Result<double> median_us_alone(Joiners& alone) {
  Series us;
  for (std::size_t join = 0; join < kJoinsAlone; ++join) {
    const auto begin = Clock::now();
    if (const auto ok = alone.join(1); !ok) return tl::make_unexpected(ok.error());
    us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  return median(std::move(us));
}

// Against the same for public channels.
Result<void> measure_alone(const Bench& bench, const ServerProcess& server, Meter& meter) {
  Joiners asking(bench.loop, server.port(), server.handshake(), Joiners::Channels::kPrivate, own_topics("alone"));
  Joiners plain(bench.loop, server.port(), server.handshake(), Joiners::Channels::kPublic, own_topics("public"));
  for (Joiners* const joiners : {&asking, &plain}) {
    if (const auto ok = joiners->connect(tokens_of_users(server, 1)); !ok) return ok;
    if (const auto ok = joiners->join(1); !ok) return ok;
  }
  Series asking_us;
  Series plain_us;
  Series transactions;
  for (int run = 0; run < bench.runs; ++run) {
    const auto before = meter.read();
    if (!before) return tl::make_unexpected(before.error());
    const auto with = median_us_alone(asking);
    if (!with) return tl::make_unexpected(with.error());
    const auto after = meter.read();
    if (!after) return tl::make_unexpected(after.error());
    const auto without = median_us_alone(plain);
    if (!without) return tl::make_unexpected(without.error());
    asking_us.push_back(*with);
    plain_us.push_back(*without);
    transactions.push_back((after->transactions - before->transactions) / static_cast<double>(kJoinsAlone));
  }
  bench.report.add({.scenario = "private joins, one at a time",
                    .figure = "latency p50",
                    .unit = "µs",
                    .values = asking_us,
                    .baseline = plain_us,
                    .ratio = ratios(asking_us, plain_us)});
  bench.report.add({.scenario = "private joins, one at a time",
                    .figure = "transactions per join",
                    .unit = "transactions",
                    .decimals = 2,
                    .values = std::move(transactions),
                    .value_max = kTransactionsPerJoinAloneMax});
  return {};
}

Result<void> set_extension(const ServerProcess& server, const std::string& extension) {
  auto api = HttpLoad::connect(server.port(), 1);
  if (!api) return tl::make_unexpected(api.error());
  const std::string body = R"({"tenant":{"extensions":[)" + extension + "]}}";
  return api->run(
      "PATCH /api/tenants/dev HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + server.operator_token() +
          "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
      1, 200);
}

}  // namespace

Result<void> private_joins(const Bench& bench) {
  const auto postgres = PostgresProcess::start(bench.server.program, bench.all_cores);
  if (!postgres) return tl::make_unexpected(postgres.error());
  if (const auto made = (*postgres)->sql(kPolicies); !made) return made;
  const auto server = ServerProcess::start(with_database(bench, **postgres));
  if (!server) return tl::make_unexpected(server.error());
  auto meter = Meter::of(**server, **postgres);
  if (!meter) return tl::make_unexpected(meter.error());

  if (const auto ok = measure_alone(bench, **server, *meter); !ok) return ok;
  if (const auto ok = measure_crowd(bench, **server, *meter,
                                    {.scenario = "private joins, own topics",
                                     .tokens = tokens_of_users(**server, kClients),
                                     .topic_of = own_topics("own"),
                                     .topics_each = kOwnTopicsEach,
                                     .per_second_min = kOwnPerSecondMin});
      !ok)
    return ok;
  if (const auto ok = measure_crowd(bench, **server, *meter,
                                    {.scenario = "private joins, shared topics",
                                     .tokens = std::vector(kClients, (*server)->token_of_user("everybody")),
                                     .topic_of = shared_topics("shared"),
                                     .topics_each = kSharedTopicsEach,
                                     .per_second_min = kSharedPerSecondMin});
      !ok)
    return ok;
  if (const auto set = set_extension(**server, (*postgres)->extension(2)); !set) return set;
  if (const auto ok = measure_crowd(bench, **server, *meter,
                                    {.scenario = "private joins, own topics, db_pool 2",
                                     .tokens = tokens_of_users(**server, kClients),
                                     .topic_of = own_topics("two"),
                                     .topics_each = kOwnTopicsEach,
                                     .per_second_min = kOwnPerSecondMin});
      !ok)
    return ok;
  if (const auto set = set_extension(**server, (*postgres)->extension(1, "expressions")); !set) return set;
  return measure_crowd(bench, **server, *meter,
                       {.scenario = "private joins, own topics, without writing",
                        .tokens = tokens_of_users(**server, kClients),
                        .topic_of = own_topics("unwritten"),
                        .topics_each = kOwnTopicsEach,
                        .per_second_min = kOwnPerSecondMin});
}

}  // namespace rt::load
