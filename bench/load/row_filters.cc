// Rows that are for those who filter by a value of them, each for one of ten, a thousand and twenty thousand: finding
// it must not cost more where more have to be told apart. And what so many cost by being there.
#include <string>
#include <utility>
#include <vector>

#include "load/change_stage.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

constexpr std::size_t kListeners = 10;  // on each table
constexpr std::size_t kEntriesPerChannel = 1'000;
constexpr std::size_t kRowsPerTransaction = 1'000;
constexpr std::size_t kTransactions = 10;  // of a run, on each table
constexpr std::size_t kRows = kTransactions * kRowsPerTransaction;
constexpr std::size_t kSubscriptions[] = {10, 1'000, 20'000};
// The rows of many are in no cache of the processor. Trying all of them would take thousands of times as long.
constexpr double kRatioMax = 1.5;

std::string table_of(std::size_t subscriptions) { return "seats_" + std::to_string(subscriptions); }

std::string tables() {
  std::string out;
  for (const std::size_t count : kSubscriptions)
    out += "CREATE TABLE " + table_of(count) +
           " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, seat integer, body text);";
  return out;
}

// Each for another seat, in no order.
std::string insert_many(std::size_t subscriptions) {
  return "DO $$ BEGIN FOR i IN 1.." + std::to_string(kTransactions) + " LOOP INSERT INTO " + table_of(subscriptions) +
         " (seat, body) SELECT (i * " + std::to_string(kRowsPerTransaction) + " + j) * 7919 % " +
         std::to_string(subscriptions) + ", repeat('x', 100) FROM generate_series(1, " +
         std::to_string(kRowsPerTransaction) + ") AS j; COMMIT; END LOOP; END $$";
}

// The seats are dealt to them one by one.
std::vector<Listener> listeners_of(std::size_t subscriptions, const std::string& token) {
  std::vector<Listener> out(kListeners, {.token = token, .channels = {}});
  for (std::size_t seat = 0; seat < subscriptions; ++seat) {
    std::vector<ListeningChannel>& channels = out[seat % kListeners].channels;
    if (channels.empty() || channels.back().entries.size() == kEntriesPerChannel)
      channels.push_back({"realtime:seats-" + std::to_string(channels.size()), {}});
    channels.back().entries.push_back(change_entry(table_of(subscriptions), "seat=eq." + std::to_string(seat)));
  }
  return out;
}

struct Growth {
  double rss_bytes = 0;
  CpuTimes cpu;
};

Result<Growth> add_listeners(ChangeStage& stage, std::size_t subscriptions) {
  std::vector<Listener> listeners = listeners_of(subscriptions, stage.server().token());
  const auto rss_before = settled_rss_bytes(stage.server().pid());
  if (!rss_before) return tl::make_unexpected(rss_before.error());
  const auto cpu_before = cpu_times(stage.server(), stage.postgres());
  if (!cpu_before) return tl::make_unexpected(cpu_before.error());
  if (const auto added = stage.listeners().add(std::move(listeners)); !added) return tl::make_unexpected(added.error());
  const auto cpu_after = cpu_times(stage.server(), stage.postgres());
  if (!cpu_after) return tl::make_unexpected(cpu_after.error());
  const auto rss_after = settled_rss_bytes(stage.server().pid());
  if (!rss_after) return tl::make_unexpected(rss_after.error());
  return Growth{.rss_bytes = static_cast<double>(*rss_after) - static_cast<double>(*rss_before),
                .cpu = *cpu_after - *cpu_before};
}

void report_growth(const Bench& bench, const Growth& growth, double subscriptions) {
  const std::string scenario = "20,000 subscriptions with a filter, 1,000 in a channel";
  bench.report.add(
      {.scenario = scenario, .figure = "RSS of each", .unit = "B", .values = {growth.rss_bytes / subscriptions}});
  bench.report.add({.scenario = scenario,
                    .figure = "server CPU of each to subscribe",
                    .unit = "µs",
                    .decimals = 1,
                    .values = {growth.cpu.server_ns / 1e3 / subscriptions}});
  bench.report.add({.scenario = scenario,
                    .figure = "Postgres CPU of each to subscribe",
                    .unit = "µs",
                    .decimals = 1,
                    .values = {growth.cpu.postgres_ns / 1e3 / subscriptions}});
}

}  // namespace

Result<void> row_filters(const Bench& bench) {
  const auto stage = ChangeStage::set(bench, tables());
  if (!stage) return tl::make_unexpected(stage.error());
  Growth growth;
  for (const std::size_t subscriptions : kSubscriptions) {
    const auto grown = add_listeners(**stage, subscriptions);
    if (!grown) return tl::make_unexpected(grown.error());
    growth = *grown;
    const auto warm = (*stage)->measure(insert_many(subscriptions), kRows);
    if (!warm) return tl::make_unexpected(warm.error());
  }
  Series row_us[std::size(kSubscriptions)];
  for (int run = 0; run < bench.runs; ++run) {
    for (std::size_t i = 0; i < std::size(kSubscriptions); ++i) {
      const auto cost = (*stage)->measure(insert_many(kSubscriptions[i]), kRows);
      if (!cost) return tl::make_unexpected(cost.error());
      if ((*stage)->listeners().received() != kRows)
        return fail("a row was told to somebody whose filter it does not match");
      row_us[i].push_back(cost->cpu.server_ns / 1e3 / kRows);
    }
  }
  for (std::size_t i = 0; i < std::size(kSubscriptions); ++i) {
    Row row{.scenario = "rows to one of " + std::to_string(kSubscriptions[i]) + " filters",
            .figure = "server CPU per row",
            .unit = "µs",
            .decimals = 1,
            .values = row_us[i]};
    if (i > 0) {
      row.baseline = row_us[0];
      row.ratio = ratios(row_us[i], row_us[0]);
      row.ratio_max = kRatioMax;
    }
    bench.report.add(std::move(row));
  }
  report_growth(bench, growth, kSubscriptions[std::size(kSubscriptions) - 1]);
  return {};
}

}  // namespace rt::load
