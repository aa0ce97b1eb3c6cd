// A server whose tenant has a Postgres.
#pragma once

#include <string_view>

#include "load/postgres_process.h"
#include "load/scenario.h"
#include "load/server_process.h"

namespace rt::load {

inline constexpr std::string_view kMetricsSecret = "the secret of those who scrape the server";

ServerConfig with_database(const Bench& bench, const PostgresProcess& postgres);

// What both have used so far, once the server is at rest.
struct CpuTimes {
  double server_ns = 0;
  double postgres_ns = 0;

  CpuTimes operator-(const CpuTimes& earlier) const {
    return {server_ns - earlier.server_ns, postgres_ns - earlier.postgres_ns};
  }
};
Result<CpuTimes> cpu_times(const ServerProcess& server, const PostgresProcess& postgres);

}  // namespace rt::load
