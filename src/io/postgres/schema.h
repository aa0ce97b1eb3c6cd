// The schema `realtime` in a tenant's database: made where there is none, brought up to date where there is one.
//
// Another server of the same schema counts the rows of realtime.schema_migrations, so what we made is noted elsewhere:
// in the comment of realtime.datafuse_make_partition(), which nobody but us has. A database that is up to date costs
// one query.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/postgres/connection.h"
#include "io/postgres/error.h"
#include "io/postgres/task.h"

namespace rt::postgres {

// How operators find the failures of migrate() (docs/error-codes.md).
inline constexpr std::string_view kMigrationsFailed = "MigrationsFailedToRun";

// The number of the last file of sql/tenant/ours.
int schema_version();

// As many rows has realtime.schema_migrations when another server has done all that it does.
inline constexpr std::int64_t kVersionsOfOthers = 81;

enum class Migrated : std::uint8_t { kNothing, kMade, kBroughtUpToDate };

// On a connection that nobody else uses meanwhile; afterwards it is as it was at login. All or nothing; others that do
// the same at this time wait, and then find it done. A schema that is half made by another server is left alone.
//
// The message of an error says what to do about it, where the server's own words would not.
Task<Result<Migrated>> migrate(Connection& connection);

struct SchemaState {
  int version = 0;         // of ours; 0: nothing
  bool has_table = false;  // realtime.schema_migrations
};
Task<Result<SchemaState>> inspect_schema(Connection& connection);
// The rows of realtime.schema_migrations, which is there. 42501: the login may not read it.
Task<Result<std::int64_t>> count_versions(Connection& connection);

// All of it as text for psql, which makes the schema where there is none; fails as a whole where there is one.
std::string schema_as_text();
// The same of what goes over a schema that is there. May run any number of times.
std::string upgrade_as_text();
// Makes again what of the schema was dropped: the statements that name `object` as the files write it, as in
// "function realtime.topic(". Of files whose name begins like this.
std::string mend_as_text(std::string_view object, std::string_view file = "");

}  // namespace rt::postgres
