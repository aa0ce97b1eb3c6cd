// One setting: the variable and the flag it is given by, the text it accepts, and the member of Config that it fills.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "main/config.h"

namespace rt::app {

// The text of a setting and where it came from: `env PORT` or `--port`.
struct Given {
  std::string source;
  std::string text;
};

struct Range {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

inline constexpr Range kAnyInteger{INT64_MIN, INT64_MAX};
inline constexpr std::int64_t kMillisecondsMax = 365LL * 24 * 60 * 60 * 1000;  // far from overflow in any clock

// Optional sign and digits, nothing else.
Result<std::int64_t> parse_integer(const Given& given, Range range = kAnyInteger);
// true, false, 1 or 0, in any case, with white space around it.
Result<bool> parse_boolean(const Given& given);
// Split on commas, each item trimmed. An empty text has no items.
std::vector<std::string> parse_list(std::string_view text);
// An IPv4 or IPv6 address, not a name; kAny is no address.
IpVersion address_family(const std::string& address);

// Reads a text into the config, and shows what the config holds.
struct Target {
  std::function<Result<void>(Config&, const Given&)> parse;
  std::function<std::string(const Config&)> show;
  bool is_switch = false;  // its flag takes no value
  bool is_secret = false;  // what was given is never shown
};

struct Setting {
  std::string_view variable;  // empty: a flag only
  std::string_view flag;      // empty: a variable only
  Target target;
  std::string_view help;
};

// The kinds of targets. `member` is a pointer to a member of Config, or a function that finds a field in one.
template <class Member>
Target number(Member member, Range range) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            const auto value = parse_integer(given, range);
            if (!value) return fail(value.error().message);
            auto& field = std::invoke(member, config);
            field = static_cast<std::remove_reference_t<decltype(field)>>(*value);
            return {};
          },
          [=](const Config& config) { return std::to_string(std::invoke(member, config)); }};
}

template <class Member>
Target text(Member member) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            std::invoke(member, config) = given.text;
            return {};
          },
          [=](const Config& config) -> std::string { return std::invoke(member, config); }};
}

Target milliseconds(std::chrono::milliseconds Config::* member, std::int64_t min);
Target limit(std::int64_t TenantLimits::* member);
// A variable that is true or false.
Target boolean(bool Config::* member);
// The same from a flag that takes no value, but with this value where it stands.
Target flag_switch(bool Config::* member);
// Never shown.
Target secret(std::optional<std::string> Config::* member);

}  // namespace rt::app
