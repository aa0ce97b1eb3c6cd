#include "services/tenancy/tenant_api.h"

#include <utility>

#include "base/check.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "protocol/http/body.h"
#include "protocol/json/value.h"

namespace rt::tenancy {
namespace {

using http::Response;

constexpr std::string_view kTenants = "/api/tenants";

enum class Action : std::uint8_t { kList, kShow, kHealth, kCreate, kPut, kDelete, kReload, kShutdown };

struct Route {
  Action action;
  std::string_view tenant = {};  // as in the path
};

std::optional<Route> route_of(const http::Request& request) {
  std::string_view path = request.resource();
  if (!path.starts_with(kTenants)) return std::nullopt;
  path.remove_prefix(kTenants.size());
  const std::string_view method = request.method;
  const bool gets = method == "GET" || method == "HEAD";
  if (path.empty()) {
    if (gets) return Route{Action::kList};
    if (method == "POST") return Route{Action::kCreate};
    return std::nullopt;
  }
  if (path.front() != '/') return std::nullopt;
  path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  const std::string_view tenant = path.substr(0, slash);
  const std::string_view rest = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  if (tenant.empty()) return std::nullopt;
  if (rest.empty()) {
    if (gets) return Route{Action::kShow, tenant};
    if (method == "PUT" || method == "PATCH") return Route{Action::kPut, tenant};
    if (method == "DELETE") return Route{Action::kDelete, tenant};
  }
  if (rest == "/health" && gets) return Route{Action::kHealth, tenant};
  if (rest == "/reload" && method == "POST") return Route{Action::kReload, tenant};
  if (rest == "/shutdown" && method == "POST") return Route{Action::kShutdown, tenant};
  return std::nullopt;
}

std::string or_null(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : "null"; }
std::string boolean(bool value) { return value ? "true" : "false"; }

// Without the password; what else is secret stays as it is stored, encrypted.
std::string shown_settings(const std::string& settings) {
  std::string out = "{";
  json::Elements members{json::Value(settings)};
  while (const auto value = members.next()) {
    if (json::unescape(members.key()) == "db_password") continue;
    if (out.size() > 1) out += ',';
    out.append(members.key()).append(":").append(value->text());
  }
  return out + "}";
}

std::string view_of(const TenantExtension& extension) {
  return "{\"type\":" + json::quoted(extension.type) + ",\"settings\":" + shown_settings(extension.settings) +
         ",\"inserted_at\":" + json::quoted(extension.inserted_at) +
         ",\"updated_at\":" + json::quoted(extension.updated_at) + "}";
}

// Secrets and keys are not part of it.
std::string view_of(const TenantRecord& tenant) {
  const TenantLimits& limits = tenant.limits;
  std::string extensions;
  for (const TenantExtension& extension : tenant.extensions)
    extensions += (extensions.empty() ? "" : ",") + view_of(extension);
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
         ",\"extensions\":[" + extensions + "]}";
}

struct Health {
  bool is_healthy = true;
  bool is_connected = false;
  bool is_streaming = false;
  std::int64_t users = 0;
};

std::string view_of(const Health& health, const TenantApiNode& node) {
  return "{\"healthy\":" + boolean(health.is_healthy) + ",\"db_connected\":" + boolean(health.is_connected) +
         ",\"replication_connected\":" + boolean(health.is_streaming) +
         ",\"connected_cluster\":" + std::to_string(health.users) +
         ",\"region\":" + (node.region.empty() ? "null" : json::quoted(node.region)) +
         ",\"node\":" + json::quoted(node.node_name) + "}";
}

Response data(int status, const std::string& json) { return Response::json(status, "{\"data\":" + json + "}"); }
Response not_found() { return Response::json(404, R"({"message":"not found"})"); }
Response bad_request() { return Response::json(400, "\"Bad Request\""); }
Response faulty(const std::string& faults) { return Response::json(422, "{\"errors\":" + faults + "}"); }
Response unavailable() {
  return Response::json(
      503, R"({"message":"The control store cannot be reached or is busy: nothing was changed, try again"})");
}

Response not_prepared() {
  return Response::json(
      422,
      R"({"message":"The tenant is there, but the schema in its database could not be made: the log and `realtime doctor` say why"})");
}

Response answer_to(const PutOutcome& outcome) {
  using Kind = PutOutcome::Kind;
  if (outcome.kind == Kind::kFaulty) return faulty(outcome.faults);
  if (outcome.kind == Kind::kUnavailable) return unavailable();
  Response response = data(outcome.kind == Kind::kCreated ? 201 : 200, view_of(*outcome.tenant));
  response.headers.push_back({"location", std::string(kTenants) + "/" + percent_encode(outcome.tenant->external_id)});
  return response;
}

}  // namespace

std::optional<TenantApi::Access> TenantApi::access_for(const http::Request& request) {
  const auto route = route_of(request);
  if (!route) return std::nullopt;
  const bool looks = route->action == Action::kShow || route->action == Action::kHealth;
  return looks ? Access::kLook : Access::kManage;
}

std::optional<std::string> TenantApi::tenant_of(const http::Request& request) {
  const auto route = route_of(request);
  return route && !route->tenant.empty() ? percent_decode(route->tenant) : std::nullopt;
}

void TenantApi::handle(const http::Request& request, const Answer& answer) {
  const auto route = route_of(request);
  RT_CHECK(route.has_value());
  if (!http::accepts_json(request)) return answer(Response::json(406, "\"Not Acceptable\""));
  if (!registry_.is_loaded()) return answer(unavailable());
  if (route->action == Action::kList) return list(answer);
  if (route->action == Action::kCreate) return put(request, {}, true, answer);

  auto name = percent_decode(route->tenant);
  // Some stores would cut a name at a NUL.
  if (!name || !is_valid_utf8(*name) || name->find('\0') != std::string::npos) return answer(bad_request());
  if (route->action == Action::kPut) return put(request, *std::move(name), false, answer);
  if (route->action == Action::kDelete) {
    const bool posted = registry_.remove(*name, [answer](RemoveOutcome outcome) {
      answer(outcome == RemoveOutcome::kUnavailable ? unavailable() : Response{.status = 204});
    });
    return posted ? void() : answer(unavailable());
  }
  const auto tell = [this, action = route->action, name = *name, answer] {
    const auto tenant = directory_.find(name);
    if (!tenant) return answer(not_found());
    if (action == Action::kShow) return answer(data(200, view_of(*tenant)));
    if (action == Action::kHealth) return tell_health(name, answer);
    node_.disconnect_database(name, [this, action, name, answer] {
      if (action == Action::kReload) node_.disconnect_sockets(name);
      answer({.status = 204});
    });
  };
  // Another node may have made it a moment ago.
  if (!directory_.find(*name) && registry_.look_up(*name, tell)) return;
  tell();
}

// A database that nobody is connected to is well if there is nobody who would need it, and nothing to be done in it.
void TenantApi::tell_health(const std::string& external_id, const Answer& answer) {
  node_.database_health(external_id, [this, external_id, answer](DatabaseHealth database) {
    const auto tenant = directory_.find(external_id);
    if (!tenant) return answer(not_found());
    Health health{.is_connected = database.is_connected,
                  .is_streaming = database.is_streaming,
                  .users = node_.connected_users(external_id)};
    if (database.has_database && !database.is_connected) {
      const bool lacks_migrations = tenant->migrations_ran < node_.migrations;
      health.is_healthy = health.users == 0 && !lacks_migrations;
      if (health.users == 0 && lacks_migrations) node_.prepare_database(external_id, [](bool) {});
    }
    answer(data(200, view_of(health, node_)));
  });
}

// Of many tenants this takes longer than a worker has.
void TenantApi::list(const Answer& answer) {
  const bool posted = node_.run_elsewhere([this, answer] {
    std::string list;
    for (const auto& one : directory_.all()) list += (list.empty() ? "" : ",") + view_of(*one);
    answer(data(200, "[" + list + "]"));
  });
  if (!posted) answer(unavailable());
}

// `is_whole`: the attributes have to be those of a complete tenant, its name among them.
void TenantApi::put(const http::Request& request, std::string external_id, bool is_whole, const Answer& answer) {
  const auto body = http::read_body(request);
  if (!body && body.error() == 415) return answer(Response::json(415, "\"Unsupported Media Type\""));
  const auto tenant = body && body->kind == http::BodyKind::kJson && json::Value(body->json).is_object()
                          ? json::Value(body->json).member("tenant")
                          : std::nullopt;
  if (!tenant || !tenant->is_object()) return answer(bad_request());
  if (is_whole) {
    if (const auto faults = registry_.faults_of_new(*tenant); !faults.are_none()) return answer(faulty(faults.json()));
    external_id = *tenants::Attributes::external_id(*tenant);
  }
  if (tenants::is_blank(external_id)) return answer(faulty(R"({"external_id":["can't be blank"]})"));
  if (external_id.size() > tenants::kNameBytesMax)
    return answer(faulty(R"({"external_id":["should be at most 255 bytes"]})"));
  if (!registry_.put(std::move(external_id), std::string(tenant->text()), [this, answer](const PutOutcome& outcome) {
        if (outcome.kind != PutOutcome::Kind::kCreated) return answer(answer_to(outcome));
        // It is there from now on, whatever becomes of its database.
        node_.prepare_database(outcome.tenant->external_id, [outcome, answer](bool is_prepared) {
          answer(is_prepared ? answer_to(outcome) : not_prepared());
        });
      }))
    answer(unavailable());
}

}  // namespace rt::tenancy
