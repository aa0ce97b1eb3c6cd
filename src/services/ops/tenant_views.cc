#include "services/ops/tenant_views.h"

#include "base/check.h"
#include "base/percent.h"
#include "protocol/json/value.h"

namespace rt::ops {
namespace {

using http::Response;

std::string or_null(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : "null"; }
std::string boolean(bool value) { return value ? "true" : "false"; }

// Secrets and keys are not part of it.
std::string view_of(const TenantRecord& tenant) {
  const TenantLimits& limits = tenant.limits;
  return "{\"id\":" + json::quoted(tenant.id) + ",\"external_id\":" + json::quoted(tenant.external_id) +
         ",\"name\":" + json::quoted(tenant.name) +
         ",\"max_concurrent_users\":" + std::to_string(limits.concurrent_users_max) +
         ",\"max_channels_per_client\":" + std::to_string(limits.channels_per_client_max) +
         ",\"max_events_per_second\":" + std::to_string(limits.events_per_second_max) +
         ",\"max_joins_per_second\":" + std::to_string(limits.joins_per_second_max) +
         ",\"max_client_presence_events_per_window\":" + or_null(limits.client_presence_events_max) +
         ",\"client_presence_window_ms\":" + or_null(limits.client_presence_window_ms) +
         ",\"presence_enabled\":" + boolean(tenant.presence_enabled) +
         ",\"private_only\":" + boolean(tenant.private_only) + ",\"inserted_at\":" + json::quoted(tenant.inserted_at) +
         ",\"extensions\":[]}";
}

std::string list_of(const std::vector<std::shared_ptr<const TenantRecord>>& tenants) {
  std::string out;
  for (const auto& tenant : tenants) out += (out.empty() ? "" : ",") + view_of(*tenant);
  return "[" + out + "]";
}

// A tenant without a database lacks nothing.
std::string health_of(const TenantRecord& tenant, const TenantSource& source) {
  return R"({"healthy":true,"db_connected":false,"replication_connected":false,"connected_cluster":)" +
         std::to_string(source.connected_users(tenant.external_id)) +
         ",\"region\":" + (source.region.empty() ? "null" : json::quoted(source.region)) +
         ",\"node\":" + json::quoted(source.node_name) + "}";
}

struct View {
  std::optional<std::string_view> tenant = {};  // as in the path; nullopt: all of them
  bool wants_health = false;
};

std::optional<View> view_in(const http::Request& request) {
  if (request.method != "GET" && request.method != "HEAD") return std::nullopt;
  constexpr std::string_view kTenants = "/api/tenants";
  std::string_view path = request.path();
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path == kTenants) return View{};
  if (!path.starts_with(std::string(kTenants) + "/")) return std::nullopt;
  path.remove_prefix(kTenants.size() + 1);
  const std::size_t slash = path.find('/');
  const std::string_view rest = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  if (!rest.empty() && rest != "/health") return std::nullopt;
  return View{.tenant = path.substr(0, slash), .wants_health = !rest.empty()};
}

Response data(const std::string& json) { return Response::json(200, "{\"data\":" + json + "}"); }

}  // namespace

bool is_tenant_view(const http::Request& request) { return view_in(request).has_value(); }

Response view_tenants(const http::Request& request, const TenantSource& source) {
  const auto view = view_in(request);
  RT_CHECK(view.has_value());
  if (!http::accepts_json(request)) return Response::json(406, "\"Not Acceptable\"");
  if (!view->tenant) return data(list_of(source.all()));
  const auto name = percent_decode(*view->tenant);
  const auto tenant = name ? source.find(*name) : nullptr;
  if (!tenant) return Response::json(404, R"({"message":"not found"})");
  return data(view->wants_health ? health_of(*tenant, source) : view_of(*tenant));
}

}  // namespace rt::ops
