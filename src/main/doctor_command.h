// `realtime doctor`: looks at the database of a tenant and prints what is missing there, with the SQL that mends it.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "main/config.h"

namespace rt::app {

// `arguments` are those behind `doctor`. Returns the exit code: 0, 1 where something keeps the database from serving,
// or 2 with the reason on `err` where the command itself could not be carried out.
int run_doctor_command(const std::vector<std::string>& arguments, const Environment& environment, std::ostream& out,
                       std::ostream& err);

}  // namespace rt::app
