// The routes of the REST API, and the steps that all of them share in their order (http-api.md 4): format, tenant,
// request rate, token, and only then what the route is for.
#pragma once

#include "protocol/http/request.h"
#include "services/rest/private_broadcast.h"
#include "services/rest/tenant.h"

namespace rt::rest {

// False: the request is for none of these routes. `respond` is called once: before this returns or, where the tenant's
// database has to be asked, later. Reads no clock and sends nothing itself; the request may be gone when it returns.
bool answer(const http::Request& request, const FindTenant& find_tenant, Respond respond);

}  // namespace rt::rest
