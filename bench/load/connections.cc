// What a server costs before anything is sent: its start, and each connection with one joined channel.
#include <sys/resource.h>

#include <chrono>
#include <string>

#include "load/crowd.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

// The slope between the two leaves out what the first clients bring into being.
constexpr std::size_t kFew = 2'000;
constexpr std::size_t kMany = 15'000;
constexpr std::size_t kOtherFiles = 100;

constexpr double kBytesPerConnectionMax = 2'048;
constexpr double kCpuUsPerJoinMax = 100;
constexpr double kFreshMegabytesMax = 20;
constexpr double kStartMsMax = 200;

Result<void> check_open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= kMany + kOtherFiles) return {};
  return fail(std::to_string(kMany) + " connections need as many open files, but the limit is " +
              std::to_string(limit.rlim_cur) + ": raise the hard limit of RLIMIT_NOFILE");
}

Result<void> start_and_rest(const Bench& bench) {
  Series start_ms;
  Series megabytes;
  for (int run = 0; run < bench.runs; ++run) {
    const auto server = ServerProcess::start(bench.server);
    if (!server) return tl::make_unexpected(server.error());
    const auto rss = settled_rss_bytes((*server)->pid());
    if (!rss) return tl::make_unexpected(rss.error());
    start_ms.push_back(std::chrono::duration<double, std::milli>((*server)->time_to_ready()).count());
    megabytes.push_back(static_cast<double>(*rss) / 1e6);
  }
  bench.report.add({.scenario = "fresh server",
                    .figure = "start until ready",
                    .unit = "ms",
                    .decimals = 1,
                    .values = start_ms,
                    .value_max = kStartMsMax});
  bench.report.add({.scenario = "fresh server",
                    .figure = "resident memory",
                    .unit = "MB",
                    .decimals = 1,
                    .values = megabytes,
                    .value_max = kFreshMegabytesMax});
  return {};
}

struct Usage {
  double cpu_ns = 0;
  double rss_bytes = 0;
};

Result<Usage> usage_of(pid_t pid) {
  const auto cpu = settled_cpu_ns(pid);
  if (!cpu) return tl::make_unexpected(cpu.error());
  const auto rss = settled_rss_bytes(pid);
  if (!rss) return tl::make_unexpected(rss.error());
  return Usage{.cpu_ns = static_cast<double>(*cpu), .rss_bytes = static_cast<double>(*rss)};
}

Result<void> cost_of_each(const Bench& bench, const std::string& scenario, std::string (*topic_of)(std::size_t)) {
  const auto server = ServerProcess::start(bench.server);
  if (!server) return tl::make_unexpected(server.error());
  Crowd crowd(bench.loop, (*server)->port(), (*server)->handshake());
  const auto topics_of = [&](std::size_t id) { return Crowd::Topics{topic_of(id)}; };

  if (const auto added = crowd.add(kFew, topics_of); !added) return added;
  const auto few = usage_of((*server)->pid());
  if (!few) return tl::make_unexpected(few.error());
  if (const auto added = crowd.add(kMany - kFew, topics_of); !added) return added;
  const auto many = usage_of((*server)->pid());
  if (!many) return tl::make_unexpected(many.error());

  constexpr double kSpan = kMany - kFew;
  bench.report.add({.scenario = scenario,
                    .figure = "memory per connection",
                    .unit = "bytes",
                    .values = {(many->rss_bytes - few->rss_bytes) / kSpan},
                    .value_max = kBytesPerConnectionMax});
  bench.report.add({.scenario = scenario,
                    .figure = "server CPU per connect + join",
                    .unit = "µs",
                    .decimals = 1,
                    .values = {(many->cpu_ns - few->cpu_ns) / 1e3 / kSpan},
                    .value_max = kCpuUsPerJoinMax});
  return {};
}

}  // namespace

Result<void> connections(const Bench& bench) {
  if (const auto enough = check_open_files(); !enough) return enough;
  if (const auto ok = start_and_rest(bench); !ok) return ok;
  auto shared =
      cost_of_each(bench, "connections, one topic", [](std::size_t) -> std::string { return "realtime:shared"; });
  if (!shared) return shared;
  return cost_of_each(bench, "connections, own topics",
                      [](std::size_t id) { return "realtime:own-" + std::to_string(id); });
}

}  // namespace rt::load
