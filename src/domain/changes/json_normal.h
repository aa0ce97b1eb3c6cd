// JSON as jsonb writes it: keys in order and each once, numbers with all their digits, strings without needless
// escapes, one space behind colons and commas.
//
// Some JSON is none for jsonb: a NUL or half a surrogate pair in a string, numbers beyond numeric. We also leave as it
// is what would grow out of all proportion, for 1e131071 is a number of 131072 digits.
//
// https://www.postgresql.org/docs/15/datatype-json.html
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/json/walker.h"

namespace rt::changes {

// By how much numbers may make a text longer: this, and so many times its size.
inline constexpr std::size_t kNumberGrowthMax = std::size_t{1} << 20;
inline constexpr std::size_t kNumberGrowthFactor = 8;

// `text` is JSON: as jsonb would write it. nullopt: it does not, or it is no JSON.
std::optional<std::string> normalised_json(std::string_view text);

// Appends the value of a column of json, or of jsonb. Where there is no normal form the text itself, with U+FFFD for
// what is no character; a string with the text in it where it is no JSON, or is nested deeper than `depth_max`.
void append_json_text(std::string& out, std::string_view text, int depth_max = json::kDepthMax);
void append_jsonb_text(std::string& out, std::string_view text, int depth_max = json::kDepthMax);

}  // namespace rt::changes
