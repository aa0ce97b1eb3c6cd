#include "base/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace rt {
namespace {

constexpr std::array<std::uint8_t, 12> kV4Prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kV4PrefixBits = 96;
constexpr std::size_t kTextBytesMax = INET6_ADDRSTRLEN - 1;

// Digits only; nullopt: it is none of 0 to `max`.
std::optional<int> parse_bits(std::string_view text, int max) {
  int bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  const bool is_number = error == std::errc() && end == text.data() + text.size() && text.front() != '-';
  return is_number && bits <= max ? std::optional(bits) : std::nullopt;
}

}  // namespace

IpAddress IpAddress::v4(const std::uint8_t* four_bytes) {
  IpAddress out;
  std::ranges::copy(kV4Prefix, out.bytes.begin());
  std::copy_n(four_bytes, 4, out.bytes.begin() + kV4Prefix.size());
  return out;
}

IpAddress IpAddress::v6(const std::uint8_t* sixteen_bytes) {
  IpAddress out;
  std::copy_n(sixteen_bytes, out.bytes.size(), out.bytes.begin());
  return out;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char terminated[kTextBytesMax + 1] = {};
  if (text.empty() || text.size() > kTextBytesMax || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(terminated, text.data(), text.size());
  std::uint8_t bytes[16];
  if (inet_pton(AF_INET, terminated, bytes) == 1) return v4(bytes);
  if (inet_pton(AF_INET6, terminated, bytes) == 1) return v6(bytes);
  return std::nullopt;
}

bool IpAddress::is_v4() const { return std::equal(kV4Prefix.begin(), kV4Prefix.end(), bytes.begin()); }

std::string IpAddress::text() const {
  char out[INET6_ADDRSTRLEN];
  const std::uint8_t* from = bytes.data() + (is_v4() ? kV4Prefix.size() : 0);
  return inet_ntop(is_v4() ? AF_INET : AF_INET6, from, out, sizeof out);
}

Result<IpBlock> IpBlock::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  const std::string quoted = '"' + std::string(text) + '"';
  if (!address) return fail(quoted + " is no IP address and no block of them: use for example 10.0.0.0/8 or ::1");
  if (slash == std::string_view::npos) return IpBlock{*address};
  // A block of mapped addresses written as IPv6 counts all 128 bits.
  const bool counts_as_v4 = address->is_v4() && text.substr(0, slash).find(':') == std::string_view::npos;
  const int bits_max = counts_as_v4 ? 32 : 128;
  const std::string_view bits_text = text.substr(slash + 1);
  const auto bits = bits_text.empty() ? std::nullopt : parse_bits(bits_text, bits_max);
  if (!bits) return fail(quoted + " needs a number from 0 to " + std::to_string(bits_max) + " behind the slash");
  return IpBlock{*address, *bits + (counts_as_v4 ? kV4PrefixBits : 0)};
}

bool IpBlock::contains(const IpAddress& other) const {
  const auto whole = static_cast<std::ptrdiff_t>(bits / 8);
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + whole, other.bytes.begin())) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const auto at = static_cast<std::size_t>(whole);
  return (address.bytes[at] ^ other.bytes[at]) >> (8 - rest) == 0;
}

bool any_contains(const std::vector<IpBlock>& blocks, const IpAddress& address) {
  return std::ranges::any_of(blocks, [&](const IpBlock& block) { return block.contains(address); });
}

}  // namespace rt
