// The description of the HTTP API for people and tools: `GET /api/openapi` (OpenAPI 3.0.3).
#pragma once

#include <string_view>

namespace rt::ops {

// A JSON text.
std::string_view openapi_document();

}  // namespace rt::ops
