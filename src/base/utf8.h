// UTF-8 as RFC 3629 allows it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt {

// Validates a text that arrives in pieces. It refuses at the first byte that no continuation could make valid, so a
// peer that sends rubbish is told before it has sent all of it.
class Utf8Validator {
 public:
  // False: invalid, and it stays so.
  bool feed(std::string_view piece);
  // True: what was fed so far is valid and ends with a whole character.
  bool complete() const { return missing_ == 0 && valid_; }

 private:
  bool valid_ = true;
  std::uint8_t missing_ = 0;      // continuation bytes still to come
  std::uint8_t next_min_ = 0x80;  // bounds of the next one: the second byte of a sequence is restricted
  std::uint8_t next_max_ = 0xbf;
};

bool is_valid_utf8(std::string_view text);

// Bytes of the character that the text begins with; 0: it begins with none.
std::size_t utf8_character_size(std::string_view text);

// The same text with U+FFFD for each byte that is no part of a character.
std::string repaired_utf8(std::string_view text);

// Appends the character; `code_point` must be a Unicode scalar value.
void append_utf8(std::string& out, std::uint32_t code_point);

}  // namespace rt
