#include "base/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace rt {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string encode(std::string_view bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  std::uint32_t bits = 0;
  int have = 0;
  for (const unsigned char byte : bytes) {
    bits = bits << 8 | byte;
    for (have += 8; have >= 6;) {
      have -= 6;
      text += alphabet[bits >> have & 63];
    }
  }
  if (have > 0) text += alphabet[bits << (6 - have) & 63];
  return text;
}

using Values = std::array<std::int8_t, 256>;  // -1: not of the alphabet

constexpr Values values_of(std::string_view alphabet) {
  Values values{};
  values.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  return values;
}

// Four digits at a time: clients send long texts, and workers wait for the result.
std::optional<std::string> decode(std::string_view text, const Values& values) {
  if (text.size() % 4 == 1) return std::nullopt;
  const auto value_at = [&](std::size_t i) { return int{values[static_cast<unsigned char>(text[i])]}; };
  std::string bytes(text.size() * 3 / 4, '\0');
  std::size_t at = 0;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::size_t digits = std::min<std::size_t>(4, text.size() - i);
    const int third = digits > 2 ? value_at(i + 2) : 0;
    const int fourth = digits > 3 ? value_at(i + 3) : 0;
    const int bits = value_at(i) << 18 | value_at(i + 1) << 12 | third << 6 | fourth;
    if (bits < 0) return std::nullopt;
    bytes[at++] = static_cast<char>(bits >> 16);
    if (digits > 2) bytes[at++] = static_cast<char>(bits >> 8);
    if (digits > 3) bytes[at++] = static_cast<char>(bits);
  }
  return bytes;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text = encode(bytes, kStandard);
  while (text.size() % 4 != 0) text += '=';
  return text;
}

std::string base64url_encode(std::string_view bytes) { return encode(bytes, kUrlSafe); }

std::optional<std::string> base64url_decode(std::string_view text) {
  static constexpr Values kValues = values_of(kUrlSafe);
  return decode(text, kValues);
}

std::optional<std::string> base64_decode(std::string_view text) {
  static constexpr Values kValues = values_of(kStandard);
  std::string_view digits = text;
  while (digits.ends_with('=')) digits.remove_suffix(1);
  const std::size_t padding = text.size() - digits.size();
  if (padding > 2 || text.size() % 4 != 0) return std::nullopt;
  auto bytes = decode(digits, kValues);
  if (!bytes || padding == 0) return bytes;
  const int last = kValues[static_cast<unsigned char>(digits.back())];
  const bool has_stray_bits = (last & ((1 << 2 * padding) - 1)) != 0;
  return has_stray_bits ? std::nullopt : bytes;
}

}  // namespace rt
