// Rows that clients are told of as they are inserted, of a table without policies: how long one takes from its INSERT
// to the socket, what many cost, and what those cost that nobody wants to be told of.
//
// Server and clients have a core each, as always; Postgres runs on both, where the kernel finds room.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/audience.h"
#include "load/change_stage.h"
#include "load/log_reader.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

constexpr std::size_t kListeners = 10;
constexpr std::size_t kRowsPerTransaction = 100;
constexpr std::size_t kTransactions = 100;          // of a run
constexpr std::size_t kUnwantedTransactions = 300;  // likewise
constexpr std::string_view kWorkers = "worker-";
constexpr double kLatencyUsMax = 5'000;

constexpr std::string_view kTables =
    "CREATE TABLE wanted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text);"
    "CREATE TABLE unwanted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text);";

std::string insert_many(const std::string& table, std::size_t transactions) {
  return "DO $$ BEGIN FOR i IN 1.." + std::to_string(transactions) + " LOOP INSERT INTO " + table +
         " (body) SELECT repeat('x', 100) FROM generate_series(1, " + std::to_string(kRowsPerTransaction) +
         "); COMMIT; END LOOP; END $$";
}

const std::string kInsertOne = "INSERT INTO wanted (body) VALUES (repeat('x', 100))";

Result<void> add_listeners(ChangeStage& stage, std::size_t count) {
  std::vector<Listener> listeners(
      count, {.token = stage.server().token(), .channels = {{"realtime:rows", {change_entry("wanted")}}}});
  return stage.listeners().add(std::move(listeners));
}

// Beside it the bare loop that sends the rows of a transaction to each of as many sockets with one call.
Result<void> measure_wanted(const Bench& bench, ChangeStage& stage) {
  const Traffic traffic{
      .subscribers_per_topic = kListeners, .in_flight = kRowsPerTransaction, .rounds = kTransactions, .payload = {}};
  const auto bare = BaselineAudience::gather(bench, traffic, stage.listeners().sample());
  if (!bare) return tl::make_unexpected(bare.error());
  constexpr std::size_t kRows = kTransactions * kRowsPerTransaction;
  const std::string statements = insert_many("wanted", kTransactions);
  Series rows_per_second;
  Series row_us;
  Series delivery_ns;
  Series postgres_us;
  FanOutFigures bare_figures;
  for (int run = 0; run < bench.runs; ++run) {
    const auto worker_before = settled_cpu_ns(stage.server().pid(), kWorkers);
    if (!worker_before) return tl::make_unexpected(worker_before.error());
    const auto cost = stage.measure(statements, kRows * kListeners);
    if (!cost) return tl::make_unexpected(cost.error());
    const auto worker_after = settled_cpu_ns(stage.server().pid(), kWorkers);
    if (!worker_after) return tl::make_unexpected(worker_after.error());
    if (const auto complete = stage.listeners().check_each(kRows); !complete) return complete;
    rows_per_second.push_back(kRows / cost->seconds);
    row_us.push_back(cost->cpu.server_ns / 1e3 / kRows);
    delivery_ns.push_back(static_cast<double>(*worker_after - *worker_before) / kRows / kListeners);
    postgres_us.push_back(cost->cpu.postgres_ns / 1e3 / kRows);
    if (const auto ok = measure_run(bench.loop, **bare, traffic, bare_figures); !ok) return ok;
  }
  const std::string scenario = "rows to 10 listeners, 100 in a transaction";
  bench.report.add({.scenario = scenario, .figure = "rows", .unit = "1/s", .values = std::move(rows_per_second)});
  bench.report.add(
      {.scenario = scenario, .figure = "server CPU per row", .unit = "µs", .decimals = 1, .values = std::move(row_us)});
  Series ratio = ratios(delivery_ns, bare_figures.cpu_ns_per_delivery);
  bench.report.add({.scenario = scenario,
                    .figure = "of it the worker's per delivery",
                    .unit = "ns",
                    .values = std::move(delivery_ns),
                    .baseline = std::move(bare_figures.cpu_ns_per_delivery),
                    .ratio = std::move(ratio)});
  bench.report.add({.scenario = scenario,
                    .figure = "Postgres CPU per row",
                    .unit = "µs",
                    .decimals = 1,
                    .values = std::move(postgres_us)});
  return {};
}

// Rows come in the order of their commits, so one that is wanted is told when all before it are worked off. Beside it a
// process that reads the same log and does nothing with it.
Result<void> measure_unwanted(const Bench& bench, ChangeStage& stage) {
  const auto reader =
      LogReader::start(bench.server.cores, stage.postgres().connection_string(), std::string(kChangesPublication));
  if (!reader) return tl::make_unexpected(reader.error());
  constexpr std::size_t kRows = kUnwantedTransactions * kRowsPerTransaction;
  std::size_t rows = 0;
  Series row_ns;
  Series reader_ns;
  for (int run = 0; run < bench.runs; ++run) {
    const auto reader_before = settled_cpu_ns((*reader)->pid());
    if (!reader_before) return tl::make_unexpected(reader_before.error());
    const auto server_before = settled_cpu_ns(stage.server().pid());
    if (!server_before) return tl::make_unexpected(server_before.error());
    if (const auto ok = stage.session().run(insert_many("unwanted", kUnwantedTransactions)); !ok) return ok;
    if (const auto cost = stage.measure(kInsertOne, kListeners); !cost) return tl::make_unexpected(cost.error());
    if (const auto ok = (*reader)->wait_for(rows += kRows + 1); !ok) return ok;
    const auto server_after = settled_cpu_ns(stage.server().pid());
    if (!server_after) return tl::make_unexpected(server_after.error());
    const auto reader_after = settled_cpu_ns((*reader)->pid());
    if (!reader_after) return tl::make_unexpected(reader_after.error());
    row_ns.push_back(static_cast<double>(*server_after - *server_before) / kRows);
    reader_ns.push_back(static_cast<double>(*reader_after - *reader_before) / kRows);
  }
  Series ratio = ratios(row_ns, reader_ns);
  bench.report.add({.scenario = "rows that nobody listens to, 100 in a transaction",
                    .figure = "server CPU per row",
                    .unit = "ns",
                    .values = std::move(row_ns),
                    .baseline = std::move(reader_ns),
                    .ratio = std::move(ratio)});
  return {};
}

}  // namespace

Result<void> row_changes(const Bench& bench) {
  const auto stage = ChangeStage::set(bench, kTables);
  if (!stage) return tl::make_unexpected(stage.error());
  if (const auto added = add_listeners(**stage, 1); !added) return added;
  if (const auto ok = measure_single_rows(bench, **stage, "a row to one listener", kInsertOne, kLatencyUsMax); !ok)
    return ok;
  if (const auto added = add_listeners(**stage, kListeners - 1); !added) return added;
  if (const auto ok = measure_wanted(bench, **stage); !ok) return ok;
  return measure_unwanted(bench, **stage);
}

}  // namespace rt::load
