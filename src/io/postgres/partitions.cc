#include "io/postgres/partitions.h"

#include <boost/asio/awaitable.hpp>

namespace rt::postgres {
namespace {

// Days from yesterday (-1) on, in order, and whether each has its partition.
constexpr const char* kDays =
    "SELECT ahead, to_char(day, 'YYYY-MM-DD'), EXISTS (SELECT FROM pg_catalog.pg_inherits i "
    "JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'realtime.messages'::regclass "
    "AND c.relname = 'messages_' || to_char(day, 'YYYY_MM_DD')) "
    "FROM generate_series(-1, $1::int) ahead, "
    "LATERAL (SELECT (now() AT TIME ZONE 'utc')::date + ahead) AS of_day(day) ORDER BY ahead";

// Names of this form compare like the dates in them.
constexpr const char* kOld =
    "SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = 'realtime.messages'::regclass AND c.relnamespace = 'realtime'::regnamespace "
    "AND c.relname ~ '^messages_[0-9]{4}_[0-9]{2}_[0-9]{2}$' AND c.relname::text COLLATE \"C\" < "
    "'messages_' || to_char(now() AT TIME ZONE 'utc' - interval '72 hours', 'YYYY_MM_DD') ORDER BY 1";

// An operator or function of a user must not be taken for a built-in one: it would run with our rights.
Statement safe_path() { return {.sql = "SET LOCAL search_path TO pg_catalog, pg_temp", .plan = Plan::kOnce}; }

Batch with_lock_timeout(const char* timeout, Statement statement) {
  Batch batch;
  batch.statements = {safe_path(),
                      {.sql = std::string("SET LOCAL lock_timeout = '") + timeout + "'", .plan = Plan::kOnce},
                      std::move(statement)};
  return batch;
}

}  // namespace

Task<Result<PartitionUpkeep>> make_partitions(Connection& connection) {
  Batch look{.ends = Ends::kRolledBack};
  look.statements = {safe_path(),
                     {.sql = kDays, .parameters = {std::to_string(kPartitionDaysAhead)}, .plan = Plan::kOnce}};
  const auto days = co_await connection.run(std::move(look));
  if (!days) co_return tl::make_unexpected(days.error());

  PartitionUpkeep out{.days_ahead = -1};
  bool is_gapless = true;
  const Rows& rows = days->back();
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::string day(rows.text(row, 1).value_or(""));
    bool is_there = rows.text(row, 2) == "t";
    if (!is_there) {
      const auto made = co_await connection.run(with_lock_timeout(
          "5s",
          {.sql = "SELECT realtime.datafuse_make_partition($1::date)", .parameters = {day}, .plan = Plan::kOnce}));
      is_there = made.has_value();
      if (made) ++out.made;
      if (!made) out.failures.push_back(day + ": " + made.error().message);
      if (!connection.is_open()) co_return tl::make_unexpected(made.error());
    }
    if (row == 0) continue;  // yesterday
    is_gapless = is_gapless && is_there;
    if (is_gapless) ++out.days_ahead;
  }
  co_return out;
}

Task<Result<int>> drop_old_partitions(Connection& connection) {
  Batch look{.ends = Ends::kRolledBack};
  look.statements = {safe_path(), {.sql = kOld, .plan = Plan::kOnce}};
  const auto old = co_await connection.run(std::move(look));
  if (!old) co_return tl::make_unexpected(old.error());
  int dropped = 0;
  for (std::size_t row = 0; row < old->back().size(); ++row) {
    const std::string name(old->back().text(row, 0).value_or(""));
    const auto done =
        co_await connection.run(with_lock_timeout("2s", {.sql = "DROP TABLE realtime." + name, .plan = Plan::kOnce}));
    if (done) ++dropped;
    // 55P03: somebody uses it. 42P01: another server has dropped it.
    if (!done && done.error().sqlstate != "55P03" && done.error().sqlstate != "42P01")
      co_return tl::make_unexpected(done.error());
  }
  co_return dropped;
}

}  // namespace rt::postgres
