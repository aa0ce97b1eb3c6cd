#include "main/config_command.h"

#include <algorithm>
#include <ostream>

#include "protocol/json/value.h"

namespace rt::app {
namespace {

constexpr std::string_view kHelp =
    "Usage: realtime config [--json] [flags of `realtime serve`]\n\n"
    "Prints each setting, its value and where that comes from: a flag, the environment or the default. Secrets that\n"
    "are given are hidden. Settings that contradict each other are errors, as they are for the server.\n";

std::string name_of(const EffectiveSetting& setting) {
  return setting.variable.empty() ? setting.flag : setting.variable;
}

void print_table(const std::vector<EffectiveSetting>& settings, std::ostream& out) {
  std::size_t name_width = 0;
  std::size_t value_width = 0;
  for (const EffectiveSetting& setting : settings) {
    name_width = std::max(name_width, name_of(setting).size());
    value_width = std::max(value_width, setting.value.size());
  }
  for (const EffectiveSetting& setting : settings) {
    const std::string name = name_of(setting);
    out << name << std::string(name_width + 2 - name.size(), ' ') << setting.value
        << std::string(value_width + 2 - setting.value.size(), ' ') << setting.source << '\n';
  }
}

void print_json(const std::vector<EffectiveSetting>& settings, std::ostream& out) {
  const auto or_null = [](const std::string& text) { return text.empty() ? std::string("null") : json::quoted(text); };
  out << "{\"settings\":[";
  for (const EffectiveSetting& setting : settings) {
    out << (&setting == settings.data() ? "\n" : ",\n") << "{\"variable\":" << or_null(setting.variable)
        << ",\"flag\":" << or_null(setting.flag) << ",\"value\":" << json::quoted(setting.value)
        << ",\"source\":" << json::quoted(setting.source) << "}";
  }
  out << "\n]}\n";
}

}  // namespace

int run_config_command(std::vector<std::string> arguments, const Environment& environment, std::ostream& out,
                       std::ostream& err) {
  const auto takes = [&arguments](std::string_view flag) { return std::erase(arguments, flag) > 0; };
  if (takes("--help") || takes("-h")) {
    out << kHelp;
    return 0;
  }
  const bool wants_json = takes("--json");
  const auto settings = effective_settings(arguments, environment);
  if (!settings) {
    err << settings.error().message << '\n';
    return 1;
  }
  if (wants_json) {
    print_json(*settings, out);
  } else {
    print_table(*settings, out);
  }
  return 0;
}

}  // namespace rt::app
