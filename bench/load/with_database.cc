#include "load/with_database.h"

#include <string>

#include "load/usage.h"

namespace rt::load {

ServerConfig with_database(const Bench& bench, const PostgresProcess& postgres) {
  ServerConfig config = bench.server;
  config.args.insert(config.args.end(), {"--store", "sqlite"});
  for (std::string& variable : postgres.seed_env()) config.env.push_back(std::move(variable));
  config.env.push_back("METRICS_JWT_SECRET=" + std::string(kMetricsSecret));
  config.env.emplace_back("CONNECT_ERROR_BACKOFF_MS=0");
  config.env.emplace_back("CHANNEL_ERROR_BACKOFF_MS=0");
  return config;
}

Result<CpuTimes> cpu_times(const ServerProcess& server, const PostgresProcess& postgres) {
  const auto of_server = settled_cpu_ns(server.pid());
  if (!of_server) return tl::make_unexpected(of_server.error());
  const auto of_postgres = postgres.cpu_ns();
  if (!of_postgres) return tl::make_unexpected(of_postgres.error());
  return CpuTimes{static_cast<double>(*of_server), static_cast<double>(*of_postgres)};
}

}  // namespace rt::load
