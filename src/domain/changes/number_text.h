// Numbers as numeric writes them: all digits, no exponent, and as many places behind the point as were asked for.
//
// That is how numbers come out of jsonb, which keeps each as a numeric. What this can hold is bounded, and with it what
// an exponent can grow to.
//
// https://www.postgresql.org/docs/15/datatype-numeric.html#DATATYPE-NUMERIC-DECIMAL
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rt::changes {

inline constexpr std::int64_t kWholeDigitsMax = 131'072;
inline constexpr std::int64_t kFractionDigitsMax = 16'383;

// `text`: a number as JSON spells them. False, and nothing is appended: it is none, or not one of numeric.
bool append_number(std::string& out, std::string_view text);

}  // namespace rt::changes
