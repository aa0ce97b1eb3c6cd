#include "main/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <map>

#include "main/accepted_settings.h"
#include "main/settings_table.h"

namespace rt::app {
namespace {

constexpr std::string_view kHelpHint = " (`realtime serve --help` lists them)";

// The flags of the command line by name; a switch has the text "true".
struct Flags {
  std::map<std::string, std::string, std::less<>> texts;
  bool help = false;
};

Result<Flags> parse_flags(const std::vector<SettingGroup>& groups, const std::vector<std::string>& arguments) {
  CLI::App app;
  Flags flags;
  app.set_help_flag();
  app.add_flag("-h,--help", flags.help);
  for (const SettingGroup& group : groups) {
    for (const Setting& setting : group.settings) {
      const std::string flag(setting.flag);
      if (flag.empty()) continue;
      if (setting.target.is_switch) {
        app.add_flag_callback(flag, [&flags, flag] { flags.texts[flag] = "true"; });
      } else {
        const auto keep = [&flags, flag](const std::string& value) { flags.texts[flag] = value; };
        app.add_option_function<std::string>(flag, keep)->take_last();
      }
    }
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // it wants them last to first
  } catch (const CLI::ParseError& e) {
    return fail(e.what() + std::string(kHelpHint));
  }
  return flags;
}

// The command line goes over the environment.
std::optional<Given> given_text(const Setting& setting, const Flags& flags, const Environment& environment) {
  if (const auto flag = flags.texts.find(setting.flag); flag != flags.texts.end()) {
    return Given{std::string(setting.flag), flag->second};
  }
  if (setting.variable.empty()) return std::nullopt;
  const std::string name(setting.variable);
  const auto value = environment(name);
  if (!value) return std::nullopt;
  return Given{"env " + name, *value};
}

// The checks that need more than one setting, or how one was given.
void check_tls(const Config& config, std::vector<std::string>& errors) {
  const bool has_files = !config.tls_cert_file.empty() && !config.tls_key_file.empty();
  const bool has_any_file = !config.tls_cert_file.empty() || !config.tls_key_file.empty();
  if (config.tls_port && !has_files)
    errors.push_back("TLS_PORT is set: TLS_CERT_FILE and TLS_KEY_FILE have to name a certificate and its key");
  if (!config.tls_port && has_any_file)
    errors.push_back("TLS_CERT_FILE or TLS_KEY_FILE is set and TLS_PORT is not: give the port that is to speak TLS");
}

void cross_check(const Config& config, std::vector<std::string>& errors) {
  check_tls(config, errors);
  if (config.drain_delay > config.drain_timeout) {
    errors.push_back("env DRAIN_DELAY_MS (" + std::to_string(config.drain_delay.count()) +
                     ") is longer than DRAIN_TIMEOUT_MS (" + std::to_string(config.drain_timeout.count()) +
                     "), which covers both: raise DRAIN_TIMEOUT_MS or lower DRAIN_DELAY_MS");
  }
  if (config.proxy_protocol && config.trusted_proxies.empty()) {
    errors.push_back(
        "PROXY_PROTOCOL is on, but TRUSTED_PROXIES names nobody whose PROXY header would count: set it to the "
        "addresses "
        "of your proxies, for example 10.0.0.0/8");
  }
  const IpVersion family = address_family(config.listen_address);
  if (family != IpVersion::kAny && config.ip_version != IpVersion::kAny && family != config.ip_version) {
    errors.push_back("LISTEN_ADDRESS " + config.listen_address +
                     " is not of the family that REALTIME_IP_VERSION names: change one, or unset REALTIME_IP_VERSION");
  }
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

std::string help_entry(const Setting& setting, const Config& defaults) {
  std::string names(setting.flag);
  if (!setting.flag.empty() && !setting.target.is_switch) names += " VALUE";
  if (!setting.variable.empty()) names.append(names.empty() ? "" : ", ").append("env ").append(setting.variable);
  std::string entry = "  " + names;
  if (const std::string text = setting.target.show(defaults); !text.empty() && !setting.target.is_switch) {
    entry += "  [" + text + "]";
  }
  return entry.append("\n      ").append(setting.help) += '\n';
}

std::string help_text(const std::vector<SettingGroup>& groups) {
  const Config defaults;
  std::string help =
      "Usage: realtime serve [flags]\n\n"
      "Runs the server. Each setting is given by a flag or by a variable of the environment; a flag goes over the\n"
      "variable. Defaults stand in brackets; times (_MS) are in milliseconds.\n";
  for (const SettingGroup& group : groups) {
    help.append("\n").append(group.title) += "\n";
    for (const Setting& setting : group.settings) help += help_entry(setting, defaults);
  }
  return help += "\n  -h, --help\n      print this text\n";
}

}  // namespace

StoreKind store_kind(const Config& config) {
  return config.store.value_or(config.db_host ? StoreKind::kPostgres : StoreKind::kSqlite);
}

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

Result<ParsedConfig> parse_config(const std::vector<std::string>& arguments, const Environment& environment) {
  const std::vector<SettingGroup> groups = all_settings();
  const auto flags = parse_flags(groups, arguments);
  if (!flags) return fail(flags.error().message);
  if (flags->help) return ParsedConfig{{}, help_text(groups)};

  Config config;
  std::vector<std::string> errors;
  for (const SettingGroup& group : groups) {
    for (const Setting& setting : group.settings) {
      const auto given = given_text(setting, *flags, environment);
      if (!given) continue;
      if (const auto set = setting.target.parse(config, *given); !set) errors.push_back(set.error().message);
    }
  }
  const AcceptedSettings accepted = check_accepted_settings(environment);
  errors.insert(errors.end(), accepted.errors.begin(), accepted.errors.end());
  cross_check(config, errors);
  if (!errors.empty()) return fail(joined(errors, "\n"));

  config.log.region = config.region;
  if (!accepted.given.empty()) {
    config.warnings.push_back("set, but without effect in this version: " + joined(accepted.given, ", "));
  }
  return ParsedConfig{std::move(config), std::nullopt};
}

Result<std::vector<EffectiveSetting>> effective_settings(const std::vector<std::string>& arguments,
                                                         const Environment& environment) {
  if (const auto parsed = parse_config(arguments, environment); !parsed) return fail(parsed.error().message);
  const std::vector<SettingGroup> groups = all_settings();
  const auto flags = parse_flags(groups, arguments);
  if (!flags) return fail(flags.error().message);
  const Config defaults;
  std::vector<EffectiveSetting> out;
  for (const SettingGroup& group : groups) {
    for (const Setting& setting : group.settings) {
      const auto given = given_text(setting, *flags, environment);
      const std::string shown = setting.target.is_secret ? "(hidden)" : given ? given->text : "";
      out.push_back({.variable = std::string(setting.variable),
                     .flag = std::string(setting.flag),
                     .value = given ? shown : setting.target.show(defaults),
                     .source = given ? given->source : "default"});
    }
  }
  return out;
}

}  // namespace rt::app
