// Broadcasts by REST on kept connections, against the cheapest request that there is. Each has to arrive at a
// subscriber.
#include <chrono>
#include <string>

#include "load/crowd.h"
#include "load/http_load.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

constexpr std::size_t kConnections = 16;
constexpr std::size_t kRequests = 10'000;  // of a run
constexpr double kCpuUsMax = 200;          // 5,000 requests a second on one core
constexpr std::string_view kTopic = "rest";

class Deliveries final : public ClientEvents {
 public:
  void on_frame(Client&, const Frame&) override { ++count; }
  std::size_t count = 0;
};

std::string post_request(const ServerProcess& server) {
  const std::string body = R"({"messages":[{"topic":"rest","event":"tick","payload":{"x":1920,"y":1080}}]})";
  return "POST /api/broadcast HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + server.token() +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct RequestFigures {
  Series per_second;
  Series cpu_us;
};

Result<void> measure(HttpLoad& load, const ServerProcess& server, std::string_view request, int status,
                     RequestFigures& out) {
  const auto cpu_before = settled_cpu_ns(server.pid());
  const auto start = std::chrono::steady_clock::now();
  if (const auto ran = load.run(request, kRequests, status); !ran) return ran;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto cpu_after = settled_cpu_ns(server.pid());
  if (!cpu_before || !cpu_after) return tl::make_unexpected((cpu_before ? cpu_after : cpu_before).error());
  out.per_second.push_back(kRequests / took.count());
  out.cpu_us.push_back(static_cast<double>(*cpu_after - *cpu_before) / 1e3 / kRequests);
  return {};
}

}  // namespace

Result<void> rest(const Bench& bench) {
  const auto server = ServerProcess::start(bench.server);
  if (!server) return tl::make_unexpected(server.error());
  Crowd subscribers(bench.loop, (*server)->port(), (*server)->handshake());
  const auto topic = [](std::size_t) { return Crowd::Topics{"realtime:" + std::string(kTopic)}; };
  if (const auto joined = subscribers.add(1, topic); !joined) return joined;
  Deliveries deliveries;
  subscribers.tell(deliveries);
  auto load = HttpLoad::connect((*server)->port(), kConnections);
  if (!load) return tl::make_unexpected(load.error());

  const std::string post = post_request(**server);
  RequestFigures posts;
  RequestFigures healthchecks;
  for (int run = 0; run < bench.runs; ++run) {
    deliveries.count = 0;
    if (const auto ran = measure(*load, **server, post, 202, posts); !ran) return ran;
    auto arrived = bench.loop.run_until([&] { return deliveries.count >= kRequests; }, "what was posted");
    if (!arrived) return arrived;
    if (const auto ran =
            measure(*load, **server, "GET /healthcheck HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, healthchecks);
        !ran)
      return ran;
    if (deliveries.count != kRequests) return fail("something was delivered twice");
  }
  bench.report.add({.scenario = "REST broadcasts",
                    .figure = "requests",
                    .unit = "1/s",
                    .values = posts.per_second,
                    .baseline = healthchecks.per_second,
                    .ratio = ratios(posts.per_second, healthchecks.per_second)});
  bench.report.add({.scenario = "REST broadcasts",
                    .figure = "server CPU per request",
                    .unit = "µs",
                    .decimals = 1,
                    .values = posts.cpu_us,
                    .baseline = healthchecks.cpu_us,
                    .ratio = ratios(posts.cpu_us, healthchecks.cpu_us),
                    .value_max = kCpuUsMax});
  return {};
}

}  // namespace rt::load
