// What measures of row changes need: a Postgres with tables in a publication, a server whose tenant it is, those who
// listen, and a session that writes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "load/change_listeners.h"
#include "load/postgres_process.h"
#include "load/report.h"
#include "load/scenario.h"
#include "load/server_process.h"
#include "load/sql_session.h"
#include "load/with_database.h"

namespace rt::load {

inline constexpr std::string_view kChangesPublication = "supabase_realtime";

class ChangeStage {
 public:
  // `tables` is the SQL that makes them, in the schema public. All tables are published, and everybody who has signed
  // in may read them.
  static Result<std::unique_ptr<ChangeStage>> set(const Bench& bench, std::string_view tables);

  PostgresProcess& postgres() { return *postgres_; }
  const ServerProcess& server() const { return *server_; }
  SqlSession& session() { return session_; }
  ChangeListeners& listeners() { return listeners_; }

  struct Cost {
    double seconds = 0;  // from the first of the statements until the kernel had the last delivery for its client
    CpuTimes cpu;
  };
  // Runs the statements, and returns when all of them and as many deliveries are there.
  Result<Cost> measure(const std::string& statements, std::size_t deliveries);

 private:
  ChangeStage(const Bench& bench, std::unique_ptr<PostgresProcess> postgres, std::unique_ptr<ServerProcess> server,
              SqlSession session);

  const std::unique_ptr<PostgresProcess> postgres_;
  const std::unique_ptr<ServerProcess> server_;
  SqlSession session_;
  ChangeListeners listeners_;
};

// Adds the rows of a report: how long it takes from an INSERT to the one who listens, each by itself, against the
// answer that whoever inserts gets.
Result<void> measure_single_rows(const Bench& bench, ChangeStage& stage, const std::string& scenario,
                                 const std::string& insert, double latency_us_max);

}  // namespace rt::load
