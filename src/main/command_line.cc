#include "main/command_line.h"

#include <CLI/CLI.hpp>

namespace rt::app {

Result<void> parse_command_line(CLI::App& app, std::string_view command, const std::vector<std::string>& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // it wants them last to first
  } catch (const CLI::ParseError& e) {
    return fail(e.what() + std::string(" (`realtime ") + std::string(command) + " --help` tells how)");
  }
  return {};
}

}  // namespace rt::app
