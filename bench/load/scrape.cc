// What a scrape of a node with a thousand tenants costs it, and how much of that its worker bears, which serves
// sockets.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "load/crowd.h"
#include "load/http_load.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

constexpr std::size_t kTenants = 1'000;
constexpr std::string_view kTenantSecret = "the secret of every tenant of this bench";
constexpr std::string_view kMetricsSecret = "the secret of those who scrape the server";

constexpr double kCpuMsMax = 50;
constexpr double kWorkerCpuUsMax = 1'000;  // in all, so that no moment of it can be longer

std::string name_of(std::size_t tenant) { return "t" + std::to_string(tenant); }

Result<void> make_tenants(const ServerProcess& server) {
  auto api = HttpLoad::connect(server.port(), 1);
  if (!api) return tl::make_unexpected(api.error());
  const std::string body = R"({"tenant":{"jwt_secret":")" + std::string(kTenantSecret) + "\"}}";
  const std::string rest = " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + server.operator_token() +
                           "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
                           "\r\n\r\n" + body;
  for (std::size_t tenant = 0; tenant < kTenants; ++tenant) {
    if (const auto made = api->run("PUT /api/tenants/" + name_of(tenant) + rest, 1, 201); !made) return made;
  }
  return {};
}

// Of each tenant a client that has joined and sent something, so that there are series of it.
class Tenants {
 public:
  Result<void> add(const Bench& bench, const ServerProcess& server) {
    const std::string token = server.token(kTenantSecret);
    const auto topic = [](std::size_t) { return Crowd::Topics{"realtime:a"}; };
    for (std::size_t tenant = 0; tenant < kTenants; ++tenant) {
      clients_.push_back(std::make_unique<Crowd>(bench.loop, server.port(),
                                                 server.handshake_of(name_of(tenant) + ".localhost", token)));
      Crowd& client = *clients_.back();
      if (const auto joined = client.add(1, topic); !joined) return joined;
      client[0].send_text(R"(["1","2","realtime:a","broadcast",{"type":"broadcast","event":"x","payload":{}}])");
    }
    return {};
  }

 private:
  std::vector<std::unique_ptr<Crowd>> clients_;
};

struct Usage {
  double all_ns = 0;
  double worker_ns = 0;
};

Result<Usage> usage_of(const ServerProcess& server) {
  const auto all = settled_cpu_ns(server.pid());
  if (!all) return tl::make_unexpected(all.error());
  const auto worker = settled_cpu_ns(server.pid(), "worker-");
  if (!worker) return tl::make_unexpected(worker.error());
  return Usage{.all_ns = static_cast<double>(*all), .worker_ns = static_cast<double>(*worker)};
}

struct Scrapes {
  Series cpu_ms;
  Series worker_cpu_us;
};

Result<void> measure(HttpLoad& scraper, const ServerProcess& server, std::string_view request, Scrapes& out) {
  const auto before = usage_of(server);
  if (!before) return tl::make_unexpected(before.error());
  if (const auto ran = scraper.run(request, 1, 200); !ran) return ran;
  const auto after = usage_of(server);
  if (!after) return tl::make_unexpected(after.error());
  out.cpu_ms.push_back((after->all_ns - before->all_ns) / 1e6);
  out.worker_cpu_us.push_back((after->worker_ns - before->worker_ns) / 1e3);
  return {};
}

void report(const Bench& bench, std::string scenario, Scrapes scrapes) {
  bench.report.add({.scenario = scenario,
                    .figure = "server CPU",
                    .unit = "ms",
                    .decimals = 1,
                    .values = std::move(scrapes.cpu_ms),
                    .value_max = kCpuMsMax});
  bench.report.add({.scenario = std::move(scenario),
                    .figure = "CPU of the worker",
                    .unit = "µs",
                    .values = std::move(scrapes.worker_cpu_us),
                    .value_max = kWorkerCpuUsMax});
}

}  // namespace

Result<void> scrape(const Bench& bench) {
  ServerConfig config = bench.server;
  config.env.push_back("METRICS_JWT_SECRET=" + std::string(kMetricsSecret));
  const auto server = ServerProcess::start(config);
  if (!server) return tl::make_unexpected(server.error());
  if (const auto made = make_tenants(**server); !made) return made;
  Tenants tenants;
  if (const auto joined = tenants.add(bench, **server); !joined) return joined;
  auto scraper = HttpLoad::connect((*server)->port(), 1);
  if (!scraper) return tl::make_unexpected(scraper.error());

  const std::string head =
      "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + (*server)->token(kMetricsSecret) + "\r\n";
  // A machine hands out memory that nobody has touched yet slowly, so the first one is a figure of its own.
  Scrapes first;
  if (const auto ran = measure(*scraper, **server, head + "\r\n", first); !ran) return ran;
  bench.report.add({.scenario = "first scrape of 1,000 tenants",
                    .figure = "server CPU",
                    .unit = "ms",
                    .decimals = 1,
                    .values = std::move(first.cpu_ms),
                    .value_max = kCpuMsMax});

  Scrapes plain;
  Scrapes compressed;
  for (int run = 0; run < bench.runs; ++run) {
    if (const auto ran = measure(*scraper, **server, head + "\r\n", plain); !ran) return ran;
    if (const auto ran = measure(*scraper, **server, head + "Accept-Encoding: gzip\r\n\r\n", compressed); !ran)
      return ran;
  }
  report(bench, "later scrapes", std::move(plain));
  report(bench, "later scrapes, gzip", std::move(compressed));
  return {};
}

}  // namespace rt::load
