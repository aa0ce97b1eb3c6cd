// An IP address and blocks of them, as values.
//
// IPv4 addresses are kept as IPv6 has them (`::ffff:192.0.2.1`), for that is how a dual-stack socket names its IPv4
// peers, so both spellings are the same address.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rt {

struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  // `::`, which nobody has, where none is known

  static IpAddress v4(const std::uint8_t* four_bytes);
  static IpAddress v6(const std::uint8_t* sixteen_bytes);
  // `192.0.2.1` or `2001:db8::1`, without brackets, port or zone.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const;
  std::string text() const;
  bool operator==(const IpAddress&) const = default;
};

// The addresses that share their first bits with one.
struct IpBlock {
  IpAddress address;
  int bits = 128;  // of the 16 bytes, so 96 more than IPv4 counts

  // `10.0.0.0/8`, `2001:db8::/32`, or an address alone. The error says what is wrong with the text.
  static Result<IpBlock> parse(std::string_view text);
  bool contains(const IpAddress& other) const;
};

bool any_contains(const std::vector<IpBlock>& blocks, const IpAddress& address);

}  // namespace rt
