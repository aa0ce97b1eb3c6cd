// Response bodies in gzip (RFC 1952), for clients that take it (RFC 9110 12.5.3).
#pragma once

#include <string>
#include <string_view>

#include "protocol/http/request.h"

namespace rt::http {

// Smaller bodies are not worth it.
inline constexpr std::size_t kGzipBytesMin = 1024;

bool accepts_gzip(const Request& request);

std::string gzip(std::string_view text);

// Compresses the body, where it gains by it, and says so in the headers. Takes about 10 ms for a megabyte.
void gzip(Response& response);

// What was compressed. For bytes of our own: broken ones abort.
std::string gunzip(std::string_view packed);

}  // namespace rt::http
