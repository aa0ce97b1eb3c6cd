#include "protocol/pgoutput/lsn_text.h"

#include <charconv>

namespace rt::pgoutput {
namespace {

constexpr int kBase = 16;

std::optional<std::uint32_t> parse_half(std::string_view text) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, kBase);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

void append_half(std::string& out, std::uint64_t half) {
  char digits[8] = {};
  char* const end = std::to_chars(digits, digits + sizeof digits, half, kBase).ptr;
  for (const char* at = digits; at != end; ++at) out += *at >= 'a' ? static_cast<char>(*at - 'a' + 'A') : *at;
}

}  // namespace

std::string to_text(Lsn position) {
  std::string out;
  append_half(out, position.value >> 32);
  out += '/';
  append_half(out, position.value & 0xffff'ffff);
  return out;
}

std::optional<Lsn> parse_lsn(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return Lsn{std::uint64_t{*high} << 32 | *low};
}

}  // namespace rt::pgoutput
