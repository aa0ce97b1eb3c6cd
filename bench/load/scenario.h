// The scenarios: each measures one thing and adds its rows to the report. An error means that the server did something
// wrong (or the machine), never that it is slow.
#pragma once

#include "base/result.h"
#include "load/child.h"
#include "load/client_loop.h"
#include "load/report.h"
#include "load/server_process.h"

namespace rt::load {

struct Bench {
  ClientLoop& loop;
  Report& report;
  ServerConfig server;  // of each server that is started, unless a scenario needs it otherwise
  Cores all_cores;      // ours too
  int client_core = 1;
  int runs = 5;  // of which medians are taken
};

Result<void> fan_out(const Bench& bench);
Result<void> topics(const Bench& bench);
Result<void> connections(const Bench& bench);
Result<void> payloads(const Bench& bench);
Result<void> workers(const Bench& bench);
Result<void> rest(const Bench& bench);
Result<void> hostile(const Bench& bench);
Result<void> neighbours(const Bench& bench);
Result<void> tls(const Bench& bench);
Result<void> scrape(const Bench& bench);
Result<void> presence(const Bench& bench);
Result<void> private_joins(const Bench& bench);
Result<void> stored_messages(const Bench& bench);
Result<void> row_changes(const Bench& bench);
Result<void> row_policies(const Bench& bench);
Result<void> row_filters(const Bench& bench);

}  // namespace rt::load
