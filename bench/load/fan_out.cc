// One message to a thousand subscribers, against a bare send() loop over as many connections.
#include <optional>
#include <string>

#include "load/audience.h"
#include "load/payload.h"
#include "load/scenario.h"

namespace rt::load {
namespace {

constexpr std::size_t kPayloadBytes = 128;

constexpr double kRatioMaxOneByOneIoUring = 0.8;  // one system call for many sends has to show
constexpr double kRatioMaxOneByOneSendmsg = 1.15;
constexpr double kRatioMaxInFlight = 1.2;
constexpr double kCpuNsMaxInFlight = 700;

struct Budget {
  std::optional<double> cpu_ns_max;
  std::optional<double> ratio_max;
};

void add_rows(Report& report, const std::string& scenario, const Compared& runs, const Budget& budget) {
  const FanOutFigures& server = runs.one;
  const FanOutFigures& bare = runs.other;
  report.add({.scenario = scenario,
              .figure = "deliveries",
              .unit = "1/s",
              .values = server.deliveries_per_second,
              .baseline = bare.deliveries_per_second,
              .ratio = ratios(server.deliveries_per_second, bare.deliveries_per_second)});
  report.add({.scenario = scenario,
              .figure = "server CPU per delivery",
              .unit = "ns",
              .values = server.cpu_ns_per_delivery,
              .baseline = bare.cpu_ns_per_delivery,
              .ratio = ratios(server.cpu_ns_per_delivery, bare.cpu_ns_per_delivery),
              .value_max = budget.cpu_ns_max,
              .ratio_max = budget.ratio_max});
  report.add({.scenario = scenario,
              .figure = "latency p50",
              .unit = "µs",
              .values = server.latency_p50_us,
              .baseline = bare.latency_p50_us});
  report.add({.scenario = scenario,
              .figure = "latency p99",
              .unit = "µs",
              .values = server.latency_p99_us,
              .baseline = bare.latency_p99_us});
}

bool sends_by_io_uring(const ServerProcess& server) {
  return server.log().find("sending with io_uring") != std::string::npos;
}

Result<void> against_baseline(const Bench& bench, const std::string& scenario, const Traffic& traffic,
                              Budget (*budget_for)(const ServerProcess&)) {
  const auto server = ServerAudience::gather(bench, bench.server, traffic);
  if (!server) return tl::make_unexpected(server.error());
  const auto baseline = BaselineAudience::gather(bench, traffic, (*server)->meter().sample());
  if (!baseline) return tl::make_unexpected(baseline.error());
  const auto runs = measure_in_turns(bench, **server, **baseline, traffic);
  if (!runs) return tl::make_unexpected(runs.error());
  add_rows(bench.report, scenario, *runs, budget_for((*server)->server()));
  return {};
}

}  // namespace

Result<void> fan_out(const Bench& bench) {
  Traffic traffic{.payload = plain_payload(kPayloadBytes)};
  auto one_by_one = against_baseline(bench, "fanout, one by one", traffic, [](const ServerProcess& server) {
    return Budget{.ratio_max = sends_by_io_uring(server) ? kRatioMaxOneByOneIoUring : kRatioMaxOneByOneSendmsg};
  });
  if (!one_by_one) return one_by_one;

  traffic.in_flight = 16;
  traffic.rounds = 100;
  return against_baseline(bench, "fanout, 16 in flight", traffic, [](const ServerProcess&) {
    return Budget{.cpu_ns_max = kCpuNsMaxInFlight, .ratio_max = kRatioMaxInFlight};
  });
}

Result<void> topics(const Bench& bench) {
  const Traffic traffic{.topics = 100, .subscribers_per_topic = 10, .payload = plain_payload(kPayloadBytes)};
  return against_baseline(bench, "topics, 100 x 10", traffic, [](const ServerProcess&) { return Budget{}; });
}

}  // namespace rt::load
