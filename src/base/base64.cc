#include "base/base64.h"

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

std::optional<std::string> decode(std::string_view text, const Values& values) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int have = 0;
  for (const unsigned char c : text) {
    const int value = values[c];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      bytes += static_cast<char>(bits >> have & 255);
    }
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
  auto bytes = decode(digits, kValues);
  if (!bytes || base64_encode(*bytes) != text) return std::nullopt;
  return bytes;
}

}  // namespace rt
