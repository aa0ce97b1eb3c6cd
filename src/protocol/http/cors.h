// What browsers are told that ask from a page of another origin (the Fetch standard, 3.2.2 and 3.2.3).
//
// Any origin may: a request proves itself by a token that it carries, never by a cookie.
#pragma once

#include <string_view>

#include "protocol/http/request.h"

namespace rt::http {

// The answer to a browser that asks before it sends. `methods` as in the header: `GET, POST, OPTIONS`.
Response preflight(const Request& request, std::string_view methods);

// Lets the page read the response.
void allow_any_origin(Response& response);

}  // namespace rt::http
