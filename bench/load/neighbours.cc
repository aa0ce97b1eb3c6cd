// What a tenant notices of another one on the same worker that floods it, ten times over its limit.
#include <string>

#include "load/attack_process.h"
#include "load/go_first.h"
#include "load/http_load.h"
#include "load/scenario.h"
#include "load/well_behaved.h"

namespace rt::load {
namespace {

constexpr Pace kPace{.subscribers = 10, .interval = std::chrono::milliseconds(1)};
constexpr std::size_t kMessages = 30'000;  // 30 s
constexpr std::chrono::seconds kPositionTimeout{60};
constexpr std::string_view kSecret = "the secret of the tenant that floods";
constexpr double kLatenessRatioMax = 2;

Result<void> make_tenant(const ServerProcess& server) {
  auto api = HttpLoad::connect(server.port(), 1);
  if (!api) return tl::make_unexpected(api.error());
  const std::string body = R"({"tenant":{"max_events_per_second":1000,"jwt_secret":")" + std::string(kSecret) + "\"}}";
  return api->run(
      "PUT /api/tenants/flood HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + server.operator_token() +
          "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
      1, 201);
}

}  // namespace

Result<void> neighbours(const Bench& bench) {
  const GoFirst go_first;
  const auto server = ServerProcess::start(bench.server);
  if (!server) return tl::make_unexpected(server.error());
  if (const auto made = make_tenant(**server); !made) return made;
  WellBehaved clients(bench.loop, **server, kPace);
  if (const auto joined = clients.join(); !joined) return joined;
  const auto alone = clients.measure(kMessages);
  if (!alone) return fail(alone.error(), "alone");

  const Target target{.port = (*server)->port(),
                      .handshake = (*server)->handshake_of("flood.localhost", (*server)->token(kSecret)),
                      .deflate_handshake = {}};
  const auto attack = AttackProcess::start(flood(), target, {bench.client_core});
  if (!attack) return tl::make_unexpected(attack.error());
  auto positioned = bench.loop.run_until([&] { return (*attack)->is_in_position() || !(*attack)->check_alive(); },
                                         "the neighbours to be in position", kPositionTimeout);
  if (!positioned) return positioned;
  const std::uint64_t sent_before = (*attack)->deeds();
  const auto flooded = clients.measure(kMessages);
  if (!flooded) return fail(flooded.error(), "beside a flood");
  const std::uint64_t sent = (*attack)->deeds() - sent_before;
  if (const auto alive = (*attack)->check_alive(); !alive) return alive;

  const auto add = [&](const char* figure, double values, double baseline) -> Row {
    return {.scenario = "a tenant beside one that floods",
            .figure = figure,
            .unit = "µs",
            .values = {values},
            .baseline = {baseline},
            .ratio = {values / baseline}};
  };
  bench.report.add(add("latency p50", flooded->p50_us, alone->p50_us));
  Row p99 = add("latency p99", flooded->p99_us, alone->p99_us);
  p99.ratio_max = kLatenessRatioMax;
  bench.report.add(p99);
  bench.report.add({.scenario = "a tenant beside one that floods",
                    .figure = "broadcasts of the other",
                    .unit = "1/s",
                    .values = {static_cast<double>(sent) / 30}});
  return {};
}

}  // namespace rt::load
