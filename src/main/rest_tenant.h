// What the REST API needs of a tenant, supplied by the worker's shard.
#pragma once

#include "services/realtime/shard.h"
#include "services/rest/tenant.h"

namespace rt::app {

// For requests on that shard's worker, which outlives what is found; the id is that of the request, for log lines.
rest::FindTenant rest_tenants(realtime::Shard& shard, std::string_view request_id);

}  // namespace rt::app
