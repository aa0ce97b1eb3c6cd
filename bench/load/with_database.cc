#include "load/with_database.h"

#include <string>

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

}  // namespace rt::load
