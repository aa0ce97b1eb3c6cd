// The addresses of a host.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace rt::store {

// kAny: both, those of IPv6 first.
enum class AddressFamily : std::uint8_t { kAny, kV4, kV6 };

// As texts, in the order in which to try them; at least one, and at most kAddressesMax. Blocks for as long as the
// resolver takes. The error names the host.
inline constexpr std::size_t kAddressesMax = 8;
Result<std::vector<std::string>> resolve(const std::string& host, AddressFamily family);

}  // namespace rt::store
