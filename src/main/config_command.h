// `realtime config`: what a server would run with, and where each setting comes from. Secrets are not shown.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "main/config.h"

namespace rt::app {

// `arguments` are those behind `config`: `--json`, and any of `realtime serve`. Returns the exit code: 0, or 1 with the
// reason on `err`.
int run_config_command(std::vector<std::string> arguments, const Environment& environment, std::ostream& out,
                       std::ostream& err);

}  // namespace rt::app
