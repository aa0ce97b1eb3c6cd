// One line of the log, as text or as JSON.
//
// Texts of clients end up in lines. Line breaks, control characters and invalid UTF-8 are escaped in both formats, and
// long texts are cut, so that nobody can forge a line, steer a terminal or fill the memory with waiting lines.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"

namespace rt {

// Of now, with its line break: `2026-11-24T03:52:42.123Z project=acme external_id=acme [error] message`.
std::string text_log_line(LogLevel level, const LogFields& fields, std::string_view region, std::string_view message);
// The same as one JSON object.
std::string json_log_line(LogLevel level, const LogFields& fields, std::string_view region, std::string_view message);

}  // namespace rt
