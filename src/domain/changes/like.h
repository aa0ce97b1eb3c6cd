// LIKE as Postgres has it: `%` any sequence of characters, `_` any one, `\` takes the next one literally.
#pragma once

#include <cstdint>
#include <string_view>

namespace rt::changes {

// kFolded: letters of ASCII in either case are the same.
enum class LetterCase : std::uint8_t { kAsWritten, kFolded };

// Both in UTF-8. In time proportional to the product of their lengths at worst.
bool is_like(std::string_view pattern, std::string_view text, LetterCase letters = LetterCase::kAsWritten);

// It ends in an escape character that escapes nothing, which is an error as soon as Postgres comes to it.
bool ends_in_escape(std::string_view pattern);

bool is_ascii(std::string_view text);

}  // namespace rt::changes
