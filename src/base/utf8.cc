#include "base/utf8.h"

#include <cstring>

namespace rt {

bool Utf8Validator::feed(std::string_view piece) {
  if (!valid_) return false;
  const auto* at = reinterpret_cast<const unsigned char*>(piece.data());
  const auto* end = at + piece.size();
  while (at < end) {
    if (missing_ == 0) {
      // Most text is ASCII: eight bytes at a time.
      std::uint64_t word;
      while (end - at >= 8 && (std::memcpy(&word, at, 8), (word & 0x8080808080808080u) == 0)) at += 8;
      if (at == end) break;
    }
    const unsigned char byte = *at++;
    if (missing_ > 0) {
      if (byte < next_min_ || byte > next_max_) return valid_ = false;
      --missing_;
      next_min_ = 0x80;
      next_max_ = 0xbf;
    } else if (byte < 0x80) {
      continue;
    } else if (byte >= 0xc2 && byte <= 0xdf) {
      missing_ = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
      missing_ = 2;
      if (byte == 0xe0) next_min_ = 0xa0;  // shorter forms exist
      if (byte == 0xed) next_max_ = 0x9f;  // surrogates
    } else if (byte >= 0xf0 && byte <= 0xf4) {
      missing_ = 3;
      if (byte == 0xf0) next_min_ = 0x90;
      if (byte == 0xf4) next_max_ = 0x8f;  // above U+10FFFF
    } else {
      return valid_ = false;
    }
  }
  return true;
}

bool is_valid_utf8(std::string_view text) {
  Utf8Validator validator;
  return validator.feed(text) && validator.complete();
}

std::size_t utf8_character_size(std::string_view text) {
  Utf8Validator validator;
  for (std::size_t size = 1; size <= text.size() && validator.feed(text.substr(size - 1, 1)); ++size) {
    if (validator.complete()) return size;
  }
  return 0;
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : utf8_character_size(text.substr(i, 4));
    if (size == 0) {
      append_utf8(out, 0xfffd);
    } else {
      out.append(text, i, size);
    }
    i += size == 0 ? 1 : size;
  }
  return out;
}

void append_utf8(std::string& out, std::uint32_t c) {
  const auto tail = [&out](std::uint32_t bits) { out += static_cast<char>(0x80 | (bits & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    tail(c);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    tail(c >> 6);
    tail(c);
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    tail(c >> 12);
    tail(c >> 6);
    tail(c);
  }
}

}  // namespace rt
