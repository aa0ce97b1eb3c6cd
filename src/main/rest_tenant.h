// What the REST API needs of a tenant, supplied by the worker's shard.
#pragma once

#include "services/realtime/shard.h"
#include "services/rest/tenant.h"

namespace rt::app {

// For requests on that shard's worker, which must outlive what it finds.
rest::FindTenant rest_tenants(realtime::Shard& shard);

}  // namespace rt::app
