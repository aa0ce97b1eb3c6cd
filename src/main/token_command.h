// `realtime token`: prints a token that this server accepts, so that trying it out needs no other tool.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "base/clock.h"
#include "main/config.h"

namespace rt::app {

// `arguments` are those behind `token`. Returns the exit code: 0, or 1 with the reason on `err`.
int run_token_command(const std::vector<std::string>& arguments, const Environment& environment, Clock& clock,
                      std::ostream& out, std::ostream& err);

}  // namespace rt::app
