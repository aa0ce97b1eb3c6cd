// The questions that doctor puts to a database. A query gives a row for each thing that is wrong: the problem, the
// remedy and the SQL that mends it; none: all is well. $1 is the publication for row changes, $2 how many connections
// are needed.
#pragma once

#include <span>

#include "main/doctor.h"

namespace rt::app {

// What $1 is.
enum class Parameter : std::uint8_t { kNone, kPublication, kConnections };

struct Check {
  const char* id;
  Severity severity;
  const char* sql;
  Parameter parameter = Parameter::kNone;
  bool needs_restart = false;
};

// What a database without our schema can be asked, too.
std::span<const Check> server_checks();
// Needs the schema.
std::span<const Check> schema_checks();
// When the login may not read how far another server has migrated.
std::span<const Check> unreadable_versions_checks();

// Gives t or f.
const char* login_can_make_schema();
// Gives the name of each function that is not there.
const char* missing_functions();

}  // namespace rt::app
