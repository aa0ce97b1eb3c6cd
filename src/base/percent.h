// Percent-encoding, RFC 3986 2.1: `%` and two hex digits stand for one byte. `+` is a plus.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rt {

// nullopt: a `%` without two hex digits behind it.
std::optional<std::string> percent_decode(std::string_view text);

// Everything but the unreserved letters (RFC 3986 2.3) is encoded, so it fits any part of a URL.
std::string percent_encode(std::string_view text);

}  // namespace rt
