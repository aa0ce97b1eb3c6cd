#include "protocol/proxy/header.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace rt::proxy {
namespace {

using Parsed = Result<std::optional<Header>>;

constexpr std::string_view kV1Start = "PROXY ";
constexpr std::string_view kV1End = "\r\n";
constexpr std::string_view kV2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2FixedBytes = 16;
// Of version 2: the bytes of both addresses and both ports.
constexpr std::size_t kV4AddressBytes = 12;
constexpr std::size_t kV6AddressBytes = 36;

bool may_become(std::string_view in, std::string_view start) {
  const std::size_t length = std::min(in.size(), start.size());
  return in.substr(0, length) == start.substr(0, length);
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return false;
  int port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    port = port * 10 + (c - '0');
  }
  return port <= 65535;
}

// An address of the family that the header names.
std::optional<IpAddress> address_of(std::string_view family, std::string_view text) {
  const bool is_written_as_v6 = text.find(':') != std::string_view::npos;
  return is_written_as_v6 == (family == "TCP6") ? IpAddress::parse(text) : std::nullopt;
}

// Without the line end: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`.
Result<std::optional<IpAddress>> v1_source(std::string_view line) {
  line.remove_prefix(kV1Start.size());
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return std::nullopt;
  std::array<std::string_view, 5> words;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t end = std::min(line.find(' '), line.size());
    words[i] = line.substr(0, end);
    const bool is_last = i + 1 == words.size();
    if (is_last != (end == line.size())) return fail("the PROXY line has not its six words");
    if (!is_last) line.remove_prefix(end + 1);
  }
  const auto [family, source, destination, source_port, destination_port] = words;
  if (family != "TCP4" && family != "TCP6") return fail("the PROXY line names another family than TCP4 and TCP6");
  const auto address = address_of(family, source);
  if (!address || !address_of(family, destination)) return fail("the PROXY line has a bad address");
  if (!is_port(source_port) || !is_port(destination_port)) return fail("the PROXY line has a bad port");
  return address;
}

Parsed parse_v1(std::string_view in) {
  const std::string_view head = in.substr(0, kV1BytesMax);
  const std::size_t end = head.find(kV1End);
  if (end == std::string_view::npos) {
    if (in.size() >= kV1BytesMax) return fail("the PROXY line is longer than 107 bytes");
    return std::nullopt;
  }
  const auto source = v1_source(head.substr(0, end));
  if (!source) return tl::make_unexpected(source.error());
  return Header{.source = *source, .bytes = end + kV1End.size()};
}

// The first byte behind the signature is version and command, the second family and transport.
Result<std::optional<IpAddress>> v2_source(std::uint8_t command, std::uint8_t family, std::string_view addresses) {
  constexpr std::uint8_t kLocal = 0x20, kProxy = 0x21;
  constexpr std::uint8_t kTcp4 = 0x11, kTcp6 = 0x21, kFamilies = 3, kTransports = 2;
  if (command >> 4 != 2) return fail("the PROXY header is of a version other than 1 and 2");
  if (command == kLocal) return std::nullopt;
  if (command != kProxy) return fail("the PROXY header has a command other than LOCAL and PROXY");
  if (family >> 4 > kFamilies || (family & 0xf) > kTransports)
    return fail("the PROXY header names a family or transport that does not exist");
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(addresses.data());
  if (family == kTcp4 && addresses.size() >= kV4AddressBytes) return IpAddress::v4(bytes);
  if (family == kTcp6 && addresses.size() >= kV6AddressBytes) return IpAddress::v6(bytes);
  if (family == kTcp4 || family == kTcp6) return fail("the PROXY header is too short for its addresses");
  return std::nullopt;
}

Parsed parse_v2(std::string_view in) {
  if (in.size() < kV2FixedBytes) return std::nullopt;
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(in[at]); };
  const std::size_t bytes = kV2FixedBytes + (std::size_t{byte(14)} << 8 | byte(15));
  if (bytes > kV2BytesMax) return fail("the PROXY header is longer than 536 bytes");
  if (in.size() < bytes) return std::nullopt;
  const auto source = v2_source(byte(12), byte(13), in.substr(kV2FixedBytes, bytes - kV2FixedBytes));
  if (!source) return tl::make_unexpected(source.error());
  return Header{.source = *source, .bytes = bytes};
}

}  // namespace

Result<std::optional<Header>> parse_header(std::string_view in) {
  if (may_become(in, kV1Start)) return in.size() < kV1Start.size() ? Parsed(std::nullopt) : parse_v1(in);
  if (may_become(in, kV2Signature)) return parse_v2(in);
  return fail("it does not begin with a PROXY header");
}

}  // namespace rt::proxy
