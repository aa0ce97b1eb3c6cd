// The routes of the REST API, and the steps that all of them share in their order (http-api.md 4): format, tenant,
// request rate, token, and only then what the route is for.
#pragma once

#include <optional>

#include "protocol/http/request.h"
#include "services/rest/tenant.h"

namespace rt::rest {

// The answer; nullopt: the request is for none of these routes. Reads no clock, sends nothing itself, keeps nothing.
std::optional<http::Response> answer(const http::Request& request, const FindTenant& find_tenant);

}  // namespace rt::rest
