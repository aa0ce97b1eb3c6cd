// The questions that doctor puts to a database. A query gives a row for each thing that is wrong: the problem, the
// remedy and the SQL that mends it; none: all is well.
#pragma once

#include <span>
#include <string>

#include "main/doctor.h"

namespace rt::app {

// What $1 is.
enum class Parameter : std::uint8_t {
  kNone,
  kPublication,      // for row changes
  kConnections,      // that we may have at a time, those that replicate not among them
  kFreeConnections,  // that have to be free before we connect
  kSlotsStay,        // whether replication slots outlive their connections: t or f
};

struct Check {
  const char* id;
  Severity severity;
  const char* sql;
  Parameter parameter = Parameter::kNone;
  bool needs_restart = false;
};

// What a database without our schema can be asked, too.
std::span<const Check> server_checks();
// Likewise, of the publication for row changes and its tables. Each gives rows of what belongs together: the problem,
// with `{}` for the names of all tables that have it, the remedy, the name of one of them and the SQL that mends it, or
// NULL. What is asked is of_published_tables() of it, which makes one row of those with the same problem.
std::span<const Check> publication_checks();
std::string of_published_tables(const char* check);
// Needs the schema.
std::span<const Check> schema_checks();
// When the login may not read how far another server has migrated.
std::span<const Check> unreadable_versions_checks();

// Gives t or f.
const char* login_can_make_schema();
// Gives the name of each function that is not there.
const char* missing_functions();

}  // namespace rt::app
