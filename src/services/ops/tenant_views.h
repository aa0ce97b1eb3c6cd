// What operators see of tenants over HTTP: `GET /api/tenants`, `/api/tenants/{id}` and `/api/tenants/{id}/health`
// (http-api.md 7). Their token has been checked before.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tenant.h"
#include "protocol/http/request.h"

namespace rt::ops {

// What the views are made of.
struct TenantSource {
  std::function<std::vector<std::shared_ptr<const TenantRecord>>()> all;                  // in the order of their names
  std::function<std::shared_ptr<const TenantRecord>(std::string_view external_id)> find;  // null: there is none
  std::function<std::int64_t(std::string_view external_id)> connected_users;
  std::string region;  // of this node; empty: none
  std::string node_name;
};

// Whether the request is for one of these routes, whoever sent it.
bool is_tenant_view(const http::Request& request);

// Of a request that is. Thread-safe where the source is.
http::Response view_tenants(const http::Request& request, const TenantSource& source);

}  // namespace rt::ops
