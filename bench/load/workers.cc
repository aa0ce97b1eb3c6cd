// The same load on one worker and on two. Two may also use the core that makes the load: with more cores than two,
// give --server-core and --client-core what is far apart.
#include "load/audience.h"
#include "load/payload.h"
#include "load/scenario.h"

namespace rt::load {

Result<void> workers(const Bench& bench) {
  const Traffic traffic{.in_flight = 16, .rounds = 100, .payload = plain_payload(128)};
  ServerConfig two_workers = bench.server;
  two_workers.workers = 2;
  two_workers.cores = bench.all_cores;

  const auto one = ServerAudience::gather(bench, bench.server, traffic);
  if (!one) return tl::make_unexpected(one.error());
  const auto two = ServerAudience::gather(bench, two_workers, traffic);
  if (!two) return tl::make_unexpected(two.error());
  const auto runs = measure_in_turns(bench, **two, **one, traffic);
  if (!runs) return tl::make_unexpected(runs.error());

  // The baseline is the server with one worker.
  bench.report.add({.scenario = "workers, 2 against 1",
                    .figure = "deliveries",
                    .unit = "1/s",
                    .values = runs->one.deliveries_per_second,
                    .baseline = runs->other.deliveries_per_second,
                    .ratio = ratios(runs->one.deliveries_per_second, runs->other.deliveries_per_second)});
  bench.report.add({.scenario = "workers, 2 against 1",
                    .figure = "server CPU per delivery",
                    .unit = "ns",
                    .values = runs->one.cpu_ns_per_delivery,
                    .baseline = runs->other.cpu_ns_per_delivery,
                    .ratio = ratios(runs->one.cpu_ns_per_delivery, runs->other.cpu_ns_per_delivery)});
  return {};
}

}  // namespace rt::load
