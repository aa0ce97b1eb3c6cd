#include "domain/changes/json_string.h"

#include <cstdint>
#include <cstring>

#include "base/utf8.h"

namespace rt::changes {
namespace {

unsigned char byte(char c) { return static_cast<unsigned char>(c); }

bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

// Whether all eight bytes are plain.
bool is_plain(std::uint64_t word) {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  constexpr std::uint64_t kHighs = 0x8080808080808080u;
  const auto has_less_than = [](std::uint64_t w, unsigned char n) { return (w - kOnes * n) & ~w & kHighs; };
  const std::uint64_t quote = has_less_than(word ^ (kOnes * '"'), 1);
  const std::uint64_t backslash = has_less_than(word ^ (kOnes * '\\'), 1);
  return ((word & kHighs) | has_less_than(word, 0x20) | quote | backslash) == 0;
}

// The index of the first byte from `at` on that is not plain.
std::size_t end_of_plain(std::string_view text, std::size_t at) {
  std::uint64_t word;
  while (text.size() - at >= sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if (!is_plain(word)) break;
    at += sizeof word;
  }
  while (at < text.size() && is_plain(byte(text[at]))) ++at;
  return at;
}

std::size_t end_of_non_ascii(std::string_view text, std::size_t at) {
  while (at < text.size() && byte(text[at]) >= 0x80) ++at;
  return at;
}

// The letter of a short escape; 0: there is none.
char short_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
      return c;
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

void append_escaped(std::string& out, char c) {
  constexpr char kHex[] = "0123456789abcdef";
  if (const char letter = short_escape(c)) {
    out += '\\';
    out += letter;
    return;
  }
  out += "\\u00";
  out += kHex[byte(c) >> 4];
  out += kHex[byte(c) & 15];
}

// Hands on the text in pieces that go into the string: `plain` as they are, `escaped` a character to be escaped.
template <class OnPlain, class OnEscaped>
void in_pieces(std::string_view text, OnPlain plain, OnEscaped escaped) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of_plain(text, at);
    if (end > at) plain(text.substr(at, end - at));
    at = end;
    if (at == text.size()) return;
    if (byte(text[at]) < 0x80) {
      escaped(text[at++]);
      continue;
    }
    const std::size_t run_end = end_of_non_ascii(text, at);
    const std::string_view run = text.substr(at, run_end - at);
    if (is_valid_utf8(run)) {
      plain(run);
    } else {
      plain(repaired_utf8(run));
    }
    at = run_end;
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  in_pieces(text, [&out](std::string_view piece) { out.append(piece); }, [&out](char c) { append_escaped(out, c); });
  out += '"';
}

std::size_t json_string_size(std::string_view text) {
  std::size_t size = 2;
  in_pieces(
      text, [&size](std::string_view piece) { size += piece.size(); },
      [&size](char c) { size += short_escape(c) != 0 ? 2 : 6; });
  return size;
}

}  // namespace rt::changes
