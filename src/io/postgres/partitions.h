// The partitions of realtime.messages: one for each day, by the clock of the database in UTC.
#pragma once

#include <string>
#include <vector>

#include "io/postgres/connection.h"
#include "io/postgres/error.h"
#include "io/postgres/task.h"

namespace rt::postgres {

inline constexpr int kPartitionDaysAhead = 30;
// Fewer than this are a reason to warn.
inline constexpr int kPartitionDaysAheadMin = 3;

struct PartitionUpkeep {
  int made = 0;
  int days_ahead = 0;  // after today, without a gap; -1: not even today has one
  // Of days whose partition could not be made, each with the date in front. In logs: PartitionCreationFailed.
  std::vector<std::string> failures{};
};

// Makes those that are missing from yesterday to kPartitionDaysAhead, each in a transaction of its own, waiting for
// locks for at most 5 s. One query where none is missing. May run beside others that do the same. Needs the schema.
Task<Result<PartitionUpkeep>> make_partitions(Connection& connection);

// Drops those of days before (now - 72 h), each in a transaction of its own, waiting at most 2 s for a lock: those that
// are in use then are left for the next time. Other children of the table are left alone. Returns how many.
Task<Result<int>> drop_old_partitions(Connection& connection);

}  // namespace rt::postgres
