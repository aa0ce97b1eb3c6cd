#include "main/replica.h"

#include <algorithm>
#include <span>

namespace rt::app {
namespace {

struct Near {
  std::string_view region;
  std::string Config::* host;
};

constexpr Near kFly[] = {{"sea", &Config::db_host_replica_sjc}, {"sjc", &Config::db_host_replica_sjc},
                         {"gru", &Config::db_host_replica_iad}, {"iad", &Config::db_host_replica_iad},
                         {"sin", &Config::db_host_replica_sin}, {"maa", &Config::db_host_replica_sin},
                         {"syd", &Config::db_host_replica_sin}, {"lhr", &Config::db_host_replica_fra},
                         {"fra", &Config::db_host_replica_fra}};
constexpr Near kAws[] = {
    {"ap-southeast-1", &Config::db_host_replica_sin}, {"ap-southeast-2", &Config::db_host_replica_sin},
    {"eu-west-2", &Config::db_host_replica_fra},      {"us-east-1", &Config::db_host_replica_iad},
    {"us-west-1", &Config::db_host_replica_sjc},      {"us-west-2", &Config::db_host_replica_sjc}};

}  // namespace

std::string replica_host(const Config& config) {
  const std::string& master = config.db_master_region.empty() ? config.region : config.db_master_region;
  if (config.region == master) return "";
  if (!config.db_replica_host.empty()) return config.db_replica_host;
  const auto table = config.aws_execution_env == "AWS_ECS_FARGATE" ? std::span<const Near>(kAws) : kFly;
  const auto near = std::ranges::find(table, config.region, &Near::region);
  return near == table.end() ? "" : config.*near->host;
}

}  // namespace rt::app
