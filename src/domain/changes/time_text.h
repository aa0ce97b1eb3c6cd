// Times as jsonb writes them, from their texts in ISO style: `2024-02-29T10:34:56.1+00:00`.
//
// https://www.postgresql.org/docs/15/datatype-datetime.html#DATATYPE-DATETIME-OUTPUT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rt::changes {

// `text`: a timestamp, with or without time zone. False, and nothing is appended: it is none, or `infinity`.
bool append_timestamp(std::string& out, std::string_view text);

// `2026-08-21T12:03:56.123Z`, in UTC, truncated. Since 2000-01-01.
std::string commit_timestamp(std::int64_t micros);

// How many bytes the time of a commit has as a timestamp with time zone, in UTC: `2026-08-21 12:03:56.1234+00`.
std::size_t commit_text_size(std::int64_t micros);

}  // namespace rt::changes
