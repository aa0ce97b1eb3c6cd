#include "services/ops/tenant_views.h"

#include <doctest/doctest.h>

namespace rt::ops {
namespace {

struct Node {
  Node() {
    TenantRecord acme{.id = "11111111-1111-4111-8111-111111111111",
                      .external_id = "ac me",
                      .name = "Ac\"me",
                      .jwt_secret = "never shown",
                      .jwt_jwks = R"({"keys":["never shown"]})",
                      .private_only = true,
                      .inserted_at = "2023-01-01T00:00:00"};
    acme.limits.client_presence_window_ms = 7;
    tenants = {std::make_shared<const TenantRecord>(acme),
               std::make_shared<const TenantRecord>(TenantRecord{.external_id = "b"})};
  }
  http::Response get(std::string target, std::string method = "GET") {
    const TenantSource source{.all = [this] { return tenants; },
                              .find = [this](std::string_view name) -> std::shared_ptr<const TenantRecord> {
                                for (const auto& tenant : tenants) {
                                  if (tenant->external_id == name) return tenant;
                                }
                                return nullptr;
                              },
                              .connected_users = [](std::string_view name) { return name == "b" ? 3 : 0; },
                              .region = region,
                              .node_name = "realtime@127.0.0.1"};
    const http::Request request{.method = std::move(method), .target = std::move(target)};
    return is_tenant_view(request) ? view_tenants(request, source) : http::Response{.status = 0};
  }
  std::vector<std::shared_ptr<const TenantRecord>> tenants;
  std::string region;
};

TEST_CASE("a tenant is shown with its limits and without its secrets") {
  Node node;
  const std::string tenant =
      R"({"id":"11111111-1111-4111-8111-111111111111","external_id":"ac me","name":"Ac\"me","max_concurrent_users":200,)"
      R"("max_channels_per_client":100,"max_events_per_second":100,"max_joins_per_second":100,)"
      R"("max_client_presence_events_per_window":null,"client_presence_window_ms":7,"presence_enabled":false,)"
      R"("private_only":true,"inserted_at":"2023-01-01T00:00:00","extensions":[]})";
  CHECK(node.get("/api/tenants/ac%20me").body == "{\"data\":" + tenant + "}");
  CHECK(node.get("/api/tenants").body.starts_with("{\"data\":[" + tenant + ",{"));
  CHECK(node.get("/api/tenants/?x=y").status == 200);
  CHECK(node.get("/api/tenants", "HEAD").status == 200);
}

TEST_CASE("a tenant that is not there is not found, and other requests are not for these views") {
  Node node;
  CHECK(node.get("/api/tenants/nobody").body == R"({"message":"not found"})");
  CHECK(node.get("/api/tenants/nobody/health").status == 404);
  CHECK(node.get("/api/tenants/%zz").status == 404);
  CHECK(node.get("/api/tenants/b/other").status == 0);
  CHECK(node.get("/api/tenants/b", "PUT").status == 0);
  CHECK(node.get("/api/tenantsb").status == 0);
}

TEST_CASE("the health of a tenant without a database is good, and tells who is connected") {
  Node node;
  CHECK(
      node.get("/api/tenants/b/health").body ==
      R"({"data":{"healthy":true,"db_connected":false,"replication_connected":false,"connected_cluster":3,"region":null,)"
      R"("node":"realtime@127.0.0.1"}})");
  node.region = "eu";
  CHECK(node.get("/api/tenants/b/health").body.find(R"("region":"eu")") != std::string::npos);
}

}  // namespace
}  // namespace rt::ops
