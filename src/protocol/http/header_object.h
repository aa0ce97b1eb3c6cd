// Request headers as one JSON object, as the policies of a tenant's database read them.
#pragma once

#include <string>

#include "protocol/http/request.h"

namespace rt::http {

// kExtensions: those whose names begin with `x-`, but for the key of the API. Of equal names the last one counts;
// values that are not UTF-8 are left out.
enum class HeaderChoice : std::uint8_t { kAll, kExtensions };
std::string header_object(const Request& request, HeaderChoice choice);

}  // namespace rt::http
