// Bodies of requests by their content type (http-api.md 1.3).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "protocol/http/request.h"

namespace rt::http {

enum class BodyKind : std::uint8_t { kNone, kJson, kBytes };  // kNone: no content type, so the body is not looked at

struct Body {
  BodyKind kind = BodyKind::kNone;
  std::string_view json;  // one walked value, an empty body being `{}`; a part of the request
};

// Errors: the status, 400 for what is no JSON, 415 for other content types.
Result<Body, int> read_body(const Request& request);

// The media type without parameters, in lower case; empty: there is none.
std::string media_type(const Request& request);

}  // namespace rt::http
