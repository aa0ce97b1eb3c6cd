// Strings as jsonb writes them: quotes, backslashes and control characters escaped, everything else as it is.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rt::changes {

// In quotes. A byte that is no UTF-8, which only a database without an encoding (SQL_ASCII) has, becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

// How many bytes that would append.
std::size_t json_string_size(std::string_view text);

}  // namespace rt::changes
