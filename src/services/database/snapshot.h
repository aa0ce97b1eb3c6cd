// Which transactions a snapshot sees, of those that the log names.
//
// The log has the lower half of what a snapshot knows a transaction by. The upper one is that of the nearest: no
// transaction that is read from the log is two milliards behind or ahead.
//
// https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-PG-SNAPSHOT
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace rt::database {

// `snapshot`: as Postgres writes a pg_snapshot, `xmin:xmax:` and those in between that are in progress. What it does
// not write sees nothing.
bool sees_all(std::string_view snapshot, const std::vector<std::uint32_t>& transactions);

}  // namespace rt::database
