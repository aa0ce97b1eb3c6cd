// A server whose tenant has a Postgres.
#pragma once

#include <string_view>

#include "load/postgres_process.h"
#include "load/scenario.h"
#include "load/server_process.h"

namespace rt::load {

inline constexpr std::string_view kMetricsSecret = "the secret of those who scrape the server";

ServerConfig with_database(const Bench& bench, const PostgresProcess& postgres);

}  // namespace rt::load
