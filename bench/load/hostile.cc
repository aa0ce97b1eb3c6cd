// What well-behaved clients notice of hostile ones on the same worker, and what those cost in memory.
#include <string>

#include "load/attack_process.h"
#include "load/go_first.h"
#include "load/scenario.h"
#include "load/usage.h"
#include "load/well_behaved.h"

namespace rt::load {
namespace {

constexpr std::size_t kMessages = 1'000;  // of each measurement, 10 s
constexpr std::chrono::seconds kPositionTimeout{60};

constexpr double kLatenessRatioMax = 3;
constexpr double kMegabytesMax = 64;

struct Outcome {
  Lateness quiet;
  Lateness attacked;
  std::uint64_t deeds = 0;
  double peak_bytes = 0;
};

Result<void> attack_and_measure(const Bench& bench, AttackProcess& attack, WellBehaved& clients, Outcome& outcome) {
  auto positioned = bench.loop.run_until([&] { return attack.is_in_position() || !attack.check_alive(); },
                                         "the attackers to be in position", kPositionTimeout);
  if (!positioned) return positioned;
  const std::uint64_t deeds_before = attack.deeds();
  const auto attacked = clients.measure(kMessages);
  if (!attacked) return tl::make_unexpected(attacked.error());
  outcome.attacked = *attacked;
  outcome.deeds = attack.deeds() - deeds_before;
  return attack.check_alive();
}

Result<Outcome> suffer(const Bench& bench, const AttackKind& kind) {
  ServerConfig config = bench.server;
  config.args.emplace_back("--compression");
  const auto server = ServerProcess::start(config);
  if (!server) return tl::make_unexpected(server.error());
  WellBehaved clients(bench.loop, **server);
  if (const auto joined = clients.join(); !joined) return tl::make_unexpected(joined.error());

  Outcome outcome;
  // The better of two: a disturbance of the machine must not make the comparison easier.
  const auto quiet = clients.measure(kMessages / 2);
  if (!quiet) return fail(quiet.error(), "quiet");
  const auto again = clients.measure(kMessages / 2);
  if (!again) return fail(again.error(), "quiet");
  outcome.quiet = quiet->p99_us < again->p99_us ? *quiet : *again;

  const Target target{.port = (*server)->port(),
                      .handshake = (*server)->handshake(),
                      .deflate_handshake = (*server)->handshake(
                          "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")};
  const auto attack = AttackProcess::start(kind, target, {bench.client_core});
  if (!attack) return tl::make_unexpected(attack.error());
  if (const auto measured = attack_and_measure(bench, **attack, clients, outcome); !measured)
    return tl::make_unexpected(measured.error());
  const auto peak = peak_rss_bytes((*server)->pid());
  if (!peak) return tl::make_unexpected(peak.error());
  outcome.peak_bytes = static_cast<double>(*peak);
  return outcome;
}

void add_rows(Report& report, const AttackKind& kind, const Outcome& outcome) {
  const std::string scenario(kind.name);
  const auto lateness = [&](const char* figure, double attacked, double quiet) {
    return Row{.scenario = scenario,
               .figure = figure,
               .unit = "µs",
               .values = {attacked},
               .baseline = {quiet},
               .ratio = {attacked / quiet}};
  };
  report.add(lateness("others' latency p50", outcome.attacked.p50_us, outcome.quiet.p50_us));
  Row p99 = lateness("others' latency p99", outcome.attacked.p99_us, outcome.quiet.p99_us);
  p99.ratio_max = kLatenessRatioMax;
  report.add(p99);
  report.add(lateness("others' latency, longest", outcome.attacked.max_us, outcome.quiet.max_us));
  report.add({.scenario = scenario,
              .figure = "server's peak memory",
              .unit = "MB",
              .decimals = 1,
              .values = {outcome.peak_bytes / 1e6},
              .value_max = kMegabytesMax});
  report.add({.scenario = scenario,
              .figure = std::string(kind.deeds),
              .unit = "",
              .values = {static_cast<double>(outcome.deeds)}});
}

}  // namespace

Result<void> hostile(const Bench& bench) {
  const GoFirst go_first;
  for (const AttackKind& kind : attack_kinds()) {
    const auto outcome = suffer(bench, kind);
    if (!outcome) return fail(outcome.error(), std::string(kind.name));
    add_rows(bench.report, kind, *outcome);
  }
  return {};
}

}  // namespace rt::load
