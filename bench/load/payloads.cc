// Large payloads, plain and compressed. The compressed rows have the plain server as their baseline: bytes and CPU.
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "load/audience.h"
#include "load/payload.h"
#include "load/scenario.h"

namespace rt::load {
namespace {

constexpr std::string_view kFlag = "--compression";
constexpr std::string_view kOffer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

constexpr double kBytesRatioMax = 0.25;
constexpr double kCpuRatioMax = 1.5;

struct Size {
  std::string name;
  std::size_t bytes;
  State state;
  std::optional<double> bytes_ratio_max;
  std::optional<double> cpu_ratio_max;
};

// Null where the server does not know compression.
Result<std::unique_ptr<ServerAudience>> gather_compressed(const Bench& bench, const Traffic& traffic) {
  ServerConfig config = bench.server;
  config.args.emplace_back(kFlag);
  auto audience = ServerAudience::gather(bench, config, traffic, kOffer);
  if (!audience && audience.error().message.find(kFlag) != std::string::npos) return nullptr;
  if (audience && !(*audience)->has_deflate()) return nullptr;
  return audience;
}

Series wire_bytes(Audience& audience) { return {static_cast<double>(audience.meter().sample().size())}; }

void add_plain(Report& report, const Size& size, const FanOutFigures& figures, Audience& audience) {
  const std::string scenario = "payload " + size.name + ", plain";
  report.add({.scenario = scenario, .figure = "bytes per delivery", .unit = "bytes", .values = wire_bytes(audience)});
  report.add(
      {.scenario = scenario, .figure = "server CPU per delivery", .unit = "ns", .values = figures.cpu_ns_per_delivery});
  report.add({.scenario = scenario, .figure = "latency p99", .unit = "µs", .values = figures.latency_p99_us});
}

void add_compressed(Report& report, const Size& size, const Compared& runs, Audience& plain, Audience& compressed) {
  const std::string scenario = "payload " + size.name + ", compressed";
  report.add({.scenario = scenario,
              .figure = "bytes per delivery",
              .unit = "bytes",
              .values = wire_bytes(compressed),
              .baseline = wire_bytes(plain),
              .ratio = ratios(wire_bytes(compressed), wire_bytes(plain)),
              .ratio_max = size.bytes_ratio_max});
  add_cost_of_other(report, scenario, runs, size.cpu_ratio_max);
}

void add_not_offered(Report& report, const Size& size) {
  report.add(
      {.scenario = "payload " + size.name + ", compressed", .figure = "all", .note = "not offered by this server"});
}

Result<void> plain_against_compressed(const Bench& bench, const Size& size) {
  const Traffic traffic{.rounds = 100, .payload = state_payload(size.bytes, size.state)};
  const auto plain = ServerAudience::gather(bench, bench.server, traffic);
  if (!plain) return tl::make_unexpected(plain.error());
  const auto compressed = gather_compressed(bench, traffic);
  if (!compressed) return tl::make_unexpected(compressed.error());

  if (*compressed == nullptr) {
    FanOutFigures figures;
    for (int run = 0; run < bench.runs; ++run) {
      if (const auto ok = measure_run(bench.loop, **plain, traffic, figures); !ok) return ok;
    }
    add_plain(bench.report, size, figures, **plain);
    add_not_offered(bench.report, size);
    return {};
  }
  const auto runs = measure_in_turns(bench, **plain, **compressed, traffic);
  if (!runs) return tl::make_unexpected(runs.error());
  add_plain(bench.report, size, runs->one, **plain);
  add_compressed(bench.report, size, *runs, **plain, **compressed);
  return {};
}

}  // namespace

Result<void> payloads(const Bench& bench) {
  const Size sizes[] = {
      {.name = "16 KiB cursors", .bytes = 16 * 1024, .state = State::kCursors},
      {.name = "2 KiB cursors",
       .bytes = 2 * 1024,
       .state = State::kCursors,
       .bytes_ratio_max = kBytesRatioMax,
       .cpu_ratio_max = kCpuRatioMax},
      {.name = "2 KiB shapes", .bytes = 2 * 1024, .state = State::kShapes, .cpu_ratio_max = kCpuRatioMax},
  };
  for (const Size& size : sizes) {
    if (const auto ok = plain_against_compressed(bench, size); !ok) return ok;
  }
  return {};
}

}  // namespace rt::load
