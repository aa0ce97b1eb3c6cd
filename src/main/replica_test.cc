#include "main/replica.h"

#include <doctest/doctest.h>

namespace rt::app {
namespace {

Config away(const std::string& region, const std::string& aws = "") {
  Config config;
  config.region = region;
  config.db_master_region = "home";
  config.aws_execution_env = aws;
  config.db_host_replica_fra = "FRA";
  config.db_host_replica_iad = "IAD";
  config.db_host_replica_sin = "SIN";
  config.db_host_replica_sjc = "SJC";
  return config;
}

TEST_CASE("each region reads from the copy near it, by the names of its platform") {
  const std::pair<const char*, const char*> fly[] = {{"sea", "SJC"}, {"sjc", "SJC"},    {"gru", "IAD"}, {"iad", "IAD"},
                                                     {"sin", "SIN"}, {"maa", "SIN"},    {"syd", "SIN"}, {"lhr", "FRA"},
                                                     {"fra", "FRA"}, {"us-east-1", ""}, {"moon", ""}};
  for (const auto& [region, host] : fly) CHECK(replica_host(away(region)) == host);
  const std::pair<const char*, const char*> aws[] = {
      {"ap-southeast-1", "SIN"}, {"ap-southeast-2", "SIN"}, {"eu-west-2", "FRA"}, {"us-east-1", "IAD"},
      {"us-west-1", "SJC"},      {"us-west-2", "SJC"},      {"eu-central-1", ""}, {"fra", ""}};
  for (const auto& [region, host] : aws) CHECK(replica_host(away(region, "AWS_ECS_FARGATE")) == host);
  CHECK(replica_host(away("fra", "AWS_Lambda")) == "FRA");
}

TEST_CASE("one replica for all regions goes over that, and the region that writes reads the primary") {
  Config config = away("fra");
  config.db_replica_host = "all";
  CHECK(replica_host(config) == "all");
  config.region = "home";
  CHECK(replica_host(config) == "");
  config.region = "fra";
  config.db_master_region = "";  // then it is this one
  CHECK(replica_host(config) == "");
  CHECK(replica_host(Config{}) == "");
  config = away("fra");
  config.db_host_replica_fra = "";
  CHECK(replica_host(config) == "");
}

}  // namespace
}  // namespace rt::app
