// The id by which a request is found in logs, here and at whoever sent it.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "protocol/http/request.h"

namespace rt::rest {

// Of the W3C `baggage` header (its entry `baggage_key`, 10 to 200 printable bytes once decoded), else of an
// `x-request-id` of 20 to 200 bytes, else a fresh one.
std::string request_id(const http::Request& request, std::string_view baggage_key, Random& random);

}  // namespace rt::rest
