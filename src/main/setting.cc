#include "main/setting.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace rt::app {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n\v\f";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

std::string range_advice(Range range) {
  if (range.min == kAnyInteger.min && range.max == kAnyInteger.max) return "use a whole number";
  return "use a whole number from " + std::to_string(range.min) + " to " + std::to_string(range.max);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
  return lower;
}

}  // namespace

Result<std::int64_t> parse_integer(const Given& given, Range range) {
  std::string_view digits = given.text;
  // from_chars knows the minus sign only; "+-5" is no number.
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (whole && value >= range.min && value <= range.max) return value;
  return fail(given.source + " expected a Integer, got \"" + given.text + "\": " + range_advice(range));
}

Result<bool> parse_boolean(const Given& given) {
  const std::string word = lower_case(trimmed(given.text));
  if (word == "true" || word == "1") return true;
  if (word == "false" || word == "0") return false;
  return fail(given.source + " expected a boolean or 0/1 values, got \"" + given.text + "\": use true or false");
}

std::vector<std::string> parse_list(std::string_view text) {
  std::vector<std::string> items;
  if (trimmed(text).empty()) return items;
  for (;;) {
    const std::size_t comma = text.find(',');
    items.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

IpVersion address_family(const std::string& address) {
  in6_addr bytes;  // large enough for both
  if (inet_pton(AF_INET, address.c_str(), &bytes) == 1) return IpVersion::kV4;
  if (inet_pton(AF_INET6, address.c_str(), &bytes) == 1) return IpVersion::kV6;
  return IpVersion::kAny;
}

Target milliseconds(std::chrono::milliseconds Config::* member, std::int64_t min) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            const auto value = parse_integer(given, {min, kMillisecondsMax});
            if (!value) return fail(value.error().message);
            config.*member = std::chrono::milliseconds(*value);
            return {};
          },
          [=](const Config& config) { return std::to_string((config.*member).count()); }};
}

Target limit(std::int64_t TenantLimits::* member) {
  return number([=](auto& config) -> auto& { return config.new_tenant_limits.*member; }, {0, INT32_MAX});
}

Target boolean(bool Config::* member) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            const auto value = parse_boolean(given);
            if (!value) return fail(value.error().message);
            config.*member = *value;
            return {};
          },
          [=](const Config& config) -> std::string { return config.*member ? "true" : "false"; }};
}

Target flag_switch(bool Config::* member) {
  Target target = boolean(member);
  target.is_switch = true;
  return target;
}

Target secret(std::optional<std::string> Config::* member) {
  return {.parse = [=](Config& config, const Given& given) -> Result<void> {
            config.*member = given.text;
            return {};
          },
          .show = [](const Config&) -> std::string { return ""; },
          .is_secret = true};
}

}  // namespace rt::app
