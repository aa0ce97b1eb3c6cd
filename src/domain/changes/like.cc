#include "domain/changes/like.h"

#include <algorithm>

namespace rt::changes {
namespace {

bool is_within_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

char folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Where the character at `place` ends.
std::size_t after(std::string_view text, std::size_t place) {
  do ++place;
  while (place < text.size() && is_within_character(text[place]));
  return place;
}

}  // namespace

// What follows a `%` is looked for at one place after the other. Once the next `%` is reached, what stands before it
// has been found as early as possible, and need not be looked for again.
bool is_like(std::string_view pattern, std::string_view text, LetterCase letters) {
  const auto are_same = [letters](char a, char b) {
    return a == b || (letters == LetterCase::kFolded && folded(a) == folded(b));
  };
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t at = 0;
  std::size_t place = 0;
  std::size_t after_percent = kNone;
  std::size_t tried_from = 0;
  while (true) {
    if (at < pattern.size() && pattern[at] == '%') {
      after_percent = ++at;
      tried_from = place;
      if (at == pattern.size()) return true;
      continue;
    }
    if (at == pattern.size() && place == text.size()) return true;
    if (at < pattern.size() && place < text.size()) {
      if (pattern[at] == '_') {
        ++at;
        place = after(text, place);
        continue;
      }
      const std::size_t literal = pattern[at] == '\\' ? at + 1 : at;
      if (literal < pattern.size() && are_same(pattern[literal], text[place])) {
        at = literal + 1;
        ++place;
        continue;
      }
    }
    if (after_percent == kNone || tried_from == text.size()) return false;
    at = after_percent;
    tried_from = place = after(text, tried_from);
  }
}

bool ends_in_escape(std::string_view pattern) {
  const std::size_t last_other = pattern.find_last_not_of('\\');
  const std::size_t escapes = pattern.size() - (last_other == std::string_view::npos ? 0 : last_other + 1);
  return escapes % 2 == 1;
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace rt::changes
