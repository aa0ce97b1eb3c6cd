#include "load/change_stage.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace rt::load {
namespace {

using std::chrono::system_clock;
using Micros = std::chrono::duration<double, std::micro>;

constexpr std::size_t kSingleRows = 100;        // of a run
constexpr std::chrono::milliseconds kPause{5};  // between them
constexpr std::string_view kRights = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO authenticated;";

double quantile(Series values, double which) {
  const auto rank = static_cast<std::ptrdiff_t>(which * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, values.begin() + rank);
  return values[static_cast<std::size_t>(rank)];
}

}  // namespace

Result<std::unique_ptr<ChangeStage>> ChangeStage::set(const Bench& bench, std::string_view tables) {
  auto postgres = PostgresProcess::start(bench.server.program, bench.all_cores);
  if (!postgres) return tl::make_unexpected(postgres.error());
  const std::string sql = std::string(tables) + std::string(kRights) + "CREATE PUBLICATION " +
                          std::string(kChangesPublication) + " FOR ALL TABLES;";
  if (const auto made = (*postgres)->sql(sql); !made) return tl::make_unexpected(made.error());
  auto server = ServerProcess::start(with_database(bench, **postgres));
  if (!server) return tl::make_unexpected(server.error());
  auto session = SqlSession::connect((*postgres)->connection_string());
  if (!session) return tl::make_unexpected(session.error());
  return std::unique_ptr<ChangeStage>(
      new ChangeStage(bench, std::move(*postgres), std::move(*server), std::move(*session)));
}

ChangeStage::ChangeStage(const Bench& bench, std::unique_ptr<PostgresProcess> postgres,
                         std::unique_ptr<ServerProcess> server, SqlSession session)
    : postgres_(std::move(postgres)),
      server_(std::move(server)),
      session_(std::move(session)),
      listeners_(bench.loop, *server_) {}

Result<ChangeStage::Cost> ChangeStage::measure(const std::string& statements, std::size_t deliveries) {
  const auto before = cpu_times(*server_, *postgres_);
  if (!before) return tl::make_unexpected(before.error());
  listeners_.begin();
  const auto began = system_clock::now();
  if (const auto begun = session_.begin(statements); !begun) return tl::make_unexpected(begun.error());
  if (const auto told = listeners_.wait_for(deliveries); !told) return tl::make_unexpected(told.error());
  if (const auto done = session_.finish(); !done) return tl::make_unexpected(done.error());
  const auto after = cpu_times(*server_, *postgres_);
  if (!after) return tl::make_unexpected(after.error());
  const std::chrono::duration<double> took = listeners_.last_arrived() - began;
  return Cost{.seconds = took.count(), .cpu = *after - *before};
}

Result<void> measure_single_rows(const Bench& bench, ChangeStage& stage, const std::string& scenario,
                                 const std::string& insert, double latency_us_max) {
  ChangeListeners& listeners = stage.listeners();
  Series p50;
  Series p99;
  Series answered_p50;
  Series answered_p99;
  for (int run = 0; run < bench.runs; ++run) {
    Series told_us;
    Series answered_us;
    for (std::size_t row = 0; row < kSingleRows; ++row) {
      listeners.begin();
      const auto began = system_clock::now();
      if (const auto inserted = stage.session().run(insert); !inserted) return inserted;
      answered_us.push_back(Micros(system_clock::now() - began).count());
      if (const auto told = listeners.wait_for(1); !told) return told;
      told_us.push_back(Micros(listeners.last_arrived() - began).count());
      if (const auto paused = bench.loop.run_to(std::chrono::steady_clock::now() + kPause); !paused) return paused;
    }
    p50.push_back(quantile(told_us, 0.5));
    p99.push_back(quantile(told_us, 0.99));
    answered_p50.push_back(quantile(answered_us, 0.5));
    answered_p99.push_back(quantile(answered_us, 0.99));
  }
  bench.report.add({.scenario = scenario,
                    .figure = "latency p50, and of the INSERT",
                    .unit = "µs",
                    .values = std::move(p50),
                    .baseline = std::move(answered_p50),
                    .value_max = latency_us_max});
  bench.report.add({.scenario = scenario,
                    .figure = "latency p99, and of the INSERT",
                    .unit = "µs",
                    .values = std::move(p99),
                    .baseline = std::move(answered_p99)});
  return {};
}

}  // namespace rt::load
