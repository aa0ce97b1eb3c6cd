// How the subcommands read their words and flags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}

namespace rt::app {

// Fills in what `app` declares. The error says what is wrong, and where to look: `realtime COMMAND --help`.
Result<void> parse_command_line(CLI::App& app, std::string_view command, const std::vector<std::string>& arguments);

}  // namespace rt::app
