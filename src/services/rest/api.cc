#include "services/rest/api.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/percent.h"
#include "base/utf8.h"
#include "protocol/http/body.h"
#include "protocol/http/cors.h"
#include "protocol/http/header_object.h"
#include "protocol/json/value.h"
#include "services/rest/batch.h"

namespace rt::rest {
namespace {

using http::Response;

enum class Endpoint : std::uint8_t { kPing, kBatch, kSingle };

struct Route {
  Endpoint endpoint = Endpoint::kPing;
  std::string_view topic = {};  // of kSingle, as in the path
  std::string_view event = {};
};

std::optional<Route> route_of(std::string_view path) {
  if (path == "/api/ping") return Route{.endpoint = Endpoint::kPing};
  constexpr std::string_view kBroadcast = "/api/broadcast";
  if (!path.starts_with(kBroadcast)) return std::nullopt;
  path.remove_prefix(kBroadcast.size());
  if (path.empty()) return Route{.endpoint = Endpoint::kBatch};
  constexpr std::string_view kEvents = "/events/";
  const std::size_t events = path.find(kEvents, 1);
  if (path[0] != '/' || events == std::string_view::npos) return std::nullopt;
  const Route route{.endpoint = Endpoint::kSingle,
                    .topic = path.substr(1, events - 1),
                    .event = path.substr(events + kEvents.size())};
  const auto is_segment = [](std::string_view text) {
    return !text.empty() && text.find('/') == std::string_view::npos;
  };
  if (!is_segment(route.topic) || !is_segment(route.event)) return std::nullopt;
  return route;
}

bool takes(const Route& route, std::string_view method) {
  if (route.endpoint == Endpoint::kPing) return method == "GET" || method == "HEAD";
  return method == "POST" || method == "OPTIONS";
}

Response reason(int status, std::string_view phrase) { return Response::json(status, json::quoted(phrase)); }
Response message(int status, std::string_view text) {
  return Response::json(status, "{\"message\":" + json::quoted(text) + "}");
}
Response field_fault(std::string_view field, std::string_view text) {
  return Response::json(422, "{\"errors\":{" + json::quoted(field) + ":[" + json::quoted(text) + "]}}");
}

// The token of the `authorization` header where its scheme is Bearer, else that of `apikey`. A header that is not two
// words is no credential at all.
std::optional<std::string_view> credential(const http::Request& request) {
  const std::string_view authorization = request.header("authorization").value_or("");
  if (!authorization.empty()) {
    const std::size_t space = authorization.find(' ');
    if (space == std::string_view::npos || authorization.find(' ', space + 1) != std::string_view::npos)
      return std::nullopt;
    if (http::ascii_lower(authorization.substr(0, space)) == "bearer") return authorization.substr(space + 1);
  }
  return request.header("apikey");
}

Sender sender_of(const http::Request& request, const TokenRef& token) {
  return {token->claims, std::make_shared<const std::string>(http::header_object(request, http::HeaderChoice::kAll))};
}

void batch(const http::Request& request, const http::Body& body, const std::shared_ptr<Tenant>& tenant,
           const TokenRef& token, const Respond& respond) {
  const TenantRecord& record = tenant->record();
  if (record.suspended) return respond(message(403, "Tenant is suspended"));
  auto messages = read_batch(body.kind == http::BodyKind::kJson ? body.json : "{}", record.limits.payload_kb_max);
  if (!messages) return respond(Response::json(422, messages.error()));

  const auto limit = static_cast<double>(record.limits.events_per_second_max);
  const double average = tenant->events_per_second();
  if (average > limit) return respond(message(429, "You have exceeded your rate limit"));
  if (average + static_cast<double>(messages->size()) > limit)
    return respond(message(429, "Too many messages to broadcast, please reduce the batch size"));

  std::vector<BatchMessage> public_ones;
  std::vector<BatchMessage> private_ones;
  for (BatchMessage& one : *messages)
    (one.privacy == Privacy::kPrivate ? private_ones : public_ones).push_back(std::move(one));
  const auto publish_the_others = [&] {
    for (BatchMessage& one : public_ones) tenant->publish(message_of(std::move(one)));
  };
  if (private_ones.empty()) {
    publish_the_others();
    return respond({.status = 202});
  }
  // Before anything is sent: who is refused sends all of it again.
  const Sender sender = sender_of(request, token);
  auto held = HeldMessages::hold(tenant, bytes_of(sender, private_ones));
  if (!held) return respond(held.error());
  publish_the_others();
  send_private(tenant, sender, std::move(private_ones), *std::move(held), [respond] { respond({.status = 202}); });
}

bool is_private(const http::Request& request) {
  bool is_private = false;
  for (const auto& [name, value] : http::parse_query(request.query())) {
    if (name == "private") is_private = value == "true";
  }
  return is_private;
}

// The payload as subscribers get it, or what is wrong with it.
Result<Message, Response> single_message(const http::Request& request, const http::Body& body,
                                         const TenantLimits& limits) {
  Message out;
  if (body.kind == http::BodyKind::kBytes) {
    constexpr std::uint64_t kBytesOverhead = 6;
    out.kind = MessageKind::kUserBinary;
    out.payload = request.body;
    out.payload_size = kBytesOverhead + out.payload.size();
  } else {
    out.kind = MessageKind::kUserJson;
    out.payload = body.kind == http::BodyKind::kNone ? "{}" : std::string(body.json);
    if (!out.payload.starts_with('{')) out.payload = "{\"_json\":" + out.payload + "}";
    const auto measured = measured_size(out.payload);
    if (!measured) return tl::make_unexpected(reason(400, "Bad Request"));  // nested too deeply in its new object
    out.payload_size = *measured;
  }
  if (out.payload_size > size_max(limits.payload_kb_max) || out.payload.size() > kDeliveredBytesMax)
    return tl::make_unexpected(field_fault("payload", "Payload size exceeds tenant limit"));
  return out;
}

void single(const http::Request& request, const Route& route, const http::Body& body,
            const std::shared_ptr<Tenant>& tenant, const TokenRef& token, const Respond& respond) {
  const TenantRecord& record = tenant->record();
  if (record.suspended) return respond(message(403, "Tenant is suspended"));
  const auto topic = percent_decode(route.topic);
  const auto event = percent_decode(route.event);
  if (!topic || !event || !is_valid_utf8(*topic) || !is_valid_utf8(*event)) return respond(reason(400, "Bad Request"));
  if (is_blank(*topic)) return respond(field_fault("topic", "can't be blank"));
  if (is_blank(*event)) return respond(field_fault("event", "can't be blank"));
  auto out = single_message(request, body, record.limits);
  if (!out) return respond(out.error());
  if (tenant->events_per_second() >= static_cast<double>(record.limits.events_per_second_max))
    return respond(message(429, "You have exceeded your rate limit"));
  out->topic = std::string(kTopicPrefix) + *topic;
  out->event = *event;
  if (is_private(request)) {
    out->privacy = Privacy::kPrivate;
    return send_private(tenant, sender_of(request, token), *std::move(out), respond);
  }
  tenant->publish(std::move(*out));
  respond({.status = 202});
}

Response unauthorized(const TokenFault& fault, Tenant& tenant) {
  if (fault.kind == TokenFaultKind::kNoKeyForKid) tenant.log_error("JwtSignerError", describe(fault));
  return message(401, "Unauthorized");
}

// From the rate on: these answers carry the headers that tell it.
void within_rate(const http::Request& request, const Route& route, const http::Body& body,
                 const std::shared_ptr<Tenant>& tenant, const Respond& respond) {
  if (tenant->requests_per_second() >= static_cast<double>(tenant->record().limits.events_per_second_max))
    return respond(message(429, "Too many requests"));
  if (route.endpoint == Endpoint::kPing) return respond(message(200, "Success"));
  const auto given = credential(request);
  if (!given) return respond(message(401, "Unauthorized"));
  const auto token = tenant->verify(*given);
  if (!token) return respond(unauthorized(token.error(), *tenant));
  if (route.endpoint == Endpoint::kBatch) return batch(request, body, tenant, *token, respond);
  single(request, route, body, tenant, *token, respond);
}

void of_tenant(const http::Request& request, const Route& route, const http::Body& body, const FindTenant& find_tenant,
               const Respond& respond) {
  const auto tenant = find_tenant(request.host());
  if (!tenant) return respond(message(401, "Tenant not found in database"));
  tenant->count_request();
  const auto rolling = static_cast<std::int64_t>(std::floor(tenant->requests_per_second()));
  const std::int64_t limit = tenant->record().limits.events_per_second_max;
  within_rate(request, route, body, tenant, [respond, rolling, limit](Response response) {
    response.headers.push_back({"x-rate-rolling", std::to_string(rolling)});
    response.headers.push_back({"x-rate-limit", std::to_string(limit)});
    response.headers.push_back({"x-rate-limit-remaining", std::to_string(limit - rolling)});
    respond(std::move(response));
  });
}

void answer_to(const http::Request& request, const Route& route, const FindTenant& find_tenant,
               const Respond& respond) {
  if (request.method == "OPTIONS") return respond(http::preflight(request, "POST, OPTIONS"));
  http::Body body;
  if (request.method == "POST") {
    const auto read = http::read_body(request);
    const std::string type = http::media_type(request);
    const bool is_listed = type.empty() || type == "application/json" || type == "application/octet-stream";
    if (route.endpoint == Endpoint::kSingle && !is_listed) {
      return respond(Response::json(
          415, R"({"error":"Unsupported Media Type. Use application/json or application/octet-stream"})"));
    }
    if (!read) return respond(read.error() == 415 ? reason(415, "Unsupported Media Type") : reason(400, "Bad Request"));
    body = *read;
  }
  if (!http::accepts_json(request)) return respond(reason(406, "Not Acceptable"));
  of_tenant(request, route, body, find_tenant, respond);
}

}  // namespace

bool answer(const http::Request& request, const FindTenant& find_tenant, Respond respond) {
  const auto route = route_of(request.resource());
  if (!route || !takes(*route, request.method)) return false;
  if (route->endpoint == Endpoint::kPing || request.method != "POST" || !request.header("origin")) {
    answer_to(request, *route, find_tenant, respond);
    return true;
  }
  answer_to(request, *route, find_tenant, [respond = std::move(respond)](Response response) {
    http::allow_any_origin(response);
    respond(std::move(response));
  });
  return true;
}

}  // namespace rt::rest
