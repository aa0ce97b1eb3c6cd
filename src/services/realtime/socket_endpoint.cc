#include "services/realtime/socket_endpoint.h"

#include "protocol/http/header_object.h"
#include "protocol/json/value.h"
#include "protocol/websocket/handshake.h"
#include "services/realtime/shard.h"

namespace rt::realtime {
namespace {

struct Parameters {
  std::string vsn = "1.0.0";
  std::optional<std::string> apikey;
  LogLevel log_level = LogLevel::kError;
};

// Of repeated parameters the last counts; `name[]` is another parameter, but an array of versions is no version.
Parameters read_parameters(std::string_view query) {
  Parameters parameters;
  for (auto& [name, value] : http::parse_query(query)) {
    if (name == "vsn") parameters.vsn = value;
    if (name.starts_with("vsn[")) parameters.vsn = "an array";
    if (name == "apikey") parameters.apikey = value;
    if (name == "log_level") {
      parameters.log_level = value == "info"      ? LogLevel::kInfo
                             : value == "warning" ? LogLevel::kWarning
                                                  : LogLevel::kError;
    }
  }
  return parameters;
}

http::Response error_body(int status, std::string_view text) {
  return http::Response::json(status, "{\"error\":" + json::quoted(text) + "}");
}

HandshakeRefusal refusal_of(const TokenFault& fault) {
  HandshakeRefusal refusal{
      .response = error_body(401, describe(fault)), .code = "ErrorConnectingToWebsocket", .log_text = describe(fault)};
  switch (fault.kind) {
    case TokenFaultKind::kMalformed:
      refusal.code = "MalformedJWT";
      break;
    case TokenFaultKind::kExpired:
      refusal.response = error_body(401, "Token has expired");
      [[fallthrough]];
    case TokenFaultKind::kMissingClaims:
      refusal.code = "InvalidJWTToken";
      refusal.level = LogLevel::kWarning;
      break;
    case TokenFaultKind::kNoKey:
    case TokenFaultKind::kNoKeyForKid:
    case TokenFaultKind::kBadSignature:
      break;
    case TokenFaultKind::kOther:
    case TokenFaultKind::kMalformedPercent:
      refusal.response = error_body(500, "Error connecting to Realtime");
      break;
  }
  return refusal;
}

}  // namespace

Result<SessionStart, HandshakeRefusal> check_handshake(const http::Request& request, LiveTenants& tenants,
                                                       const HandshakeHost& host) {
  using When = HandshakeRefusal::When;
  const auto refuse = [](HandshakeRefusal refusal) { return tl::make_unexpected(std::move(refusal)); };
  if (request.method != "GET") return refuse({.response = {.status = 400}, .when = When::kNow});
  auto start = check_client(request, tenants, host);
  if (!start) return start;
  if (const auto ok = ws::check_upgrade(request); !ok) {
    return refuse({.response = http::Response::text(400, ok.error().message),
                   .when = When::kNow,
                   .tenant = start->tenant,
                   .version = start->form.version});
  }
  if (host.compression == OffersCompression::kYes) start->form.deflate = ws::negotiate_deflate(request);
  return start;
}

Result<SessionStart, HandshakeRefusal> check_client(const http::Request& request, LiveTenants& tenants,
                                                    const HandshakeHost& host) {
  using When = HandshakeRefusal::When;
  std::optional<phoenix::Version> version;
  std::shared_ptr<LiveTenant> tenant;
  const auto refuse = [&](HandshakeRefusal refusal) {
    refusal.version = version;
    refusal.tenant = tenant;
    return tl::make_unexpected(std::move(refusal));
  };
  const Parameters parameters = read_parameters(request.query());
  version = phoenix::parse_version(parameters.vsn);
  if (!version) return refuse({.response = {.status = 403}, .when = When::kNow});

  tenant = tenants.of_host(request.host());
  if (!tenant) {
    return refuse({.response = error_body(404, "Tenant not found"),
                   .code = "TenantNotFound",
                   .log_text = "no tenant has the name of the host"});
  }
  const TenantRecord& record = tenant->record(host.worker);
  if (record.suspended) {
    return refuse({.response = error_body(403, "Realtime was disabled for this tenant"),
                   .code = "RealtimeDisabledForTenant",
                   .log_text = "the tenant is suspended"});
  }
  const auto header = request.header("x-api-key");
  if (!header && !parameters.apikey) {
    return refuse({.response = error_body(401, "API key is missing"),
                   .code = "MissingAPIKey",
                   .log_text = "neither the x-api-key header nor the apikey parameter was given"});
  }
  const auto token = host.verify(record, header ? *header : std::string_view(*parameters.apikey));
  if (!token) {
    HandshakeRefusal refusal = refusal_of(token.error());
    if (refusal.level < parameters.log_level) refusal.code = {};
    return refuse(std::move(refusal));
  }
  if (tenant->users() >= record.limits.concurrent_users_max) {
    return refuse({.response = error_body(429, "Too many connected users"),
                   .code = "ConnectionRateLimitReached",
                   .log_text = "Too many connected users"});
  }
  if (host.joins_are_over_limit(tenant)) {
    return refuse({.response = error_body(429, "Too many joins per second"),
                   .code = "JoinsRateLimitReached",
                   .log_text = "Too many joins per second"});
  }
  SessionStart start{.form = {*version, {}}, .tenant = tenant, .token = *token, .log_level = parameters.log_level};
  std::string headers = http::header_object(request, http::HeaderChoice::kExtensions);
  if (headers != "{}") start.headers = std::make_shared<const std::string>(std::move(headers));
  return start;
}

HandshakeHost handshake_host(Shard& shard) {
  return {.worker = shard.worker().index(),
          .verify = [&shard](const TenantRecord& tenant, std::string_view text) { return shard.verify(tenant, text); },
          .joins_are_over_limit =
              [&shard](const std::shared_ptr<LiveTenant>& tenant) { return shard.is_over(tenant, kJoinRate); },
          .compression = shard.node().config.compression ? OffersCompression::kYes : OffersCompression::kNo};
}

void note_refusal(Shard& shard, Transport transport, const http::Request& request, const HandshakeRefusal& refusal) {
  if (refusal.version) shard.note_handshake(transport, HandshakeResult::kError, *refusal.version);
  if (refusal.code.empty()) return;
  if (refusal.level >= LogLevel::kError) shard.count_error(refusal.tenant.get(), refusal.code);
  const std::string client = request.client.text();
  const std::string_view tenant = refusal.tenant ? refusal.tenant->external_id : std::string_view();
  shard.log(refusal.level, {.tenant = tenant, .error_code = refusal.code, .request_id = request.id, .client = client},
            refusal.log_text);
}

void SocketEndpoint::on_request(net::Worker& worker, net::ConnectionId connection, const http::Request& request) {
  Shard& shard = *node_.shards[static_cast<std::size_t>(worker.index())];
  auto start = check_handshake(request, node_.tenants, handshake_host(shard));
  if (start) {
    const phoenix::Version version = start->form.version;
    const std::string response = ws::make_upgrade_response(request, start->form.deflate);
    shard.open(connection, response, std::move(*start));
    return shard.note_handshake(Transport::kWebSocket, HandshakeResult::kOk, version);
  }

  HandshakeRefusal& refusal = start.error();
  note_refusal(shard, Transport::kWebSocket, request, refusal);
  if (refusal.when == HandshakeRefusal::When::kNow) {
    worker.respond(connection, std::move(refusal.response));
  } else {
    shard.respond_later(connection, std::move(refusal.response));
  }
}

}  // namespace rt::realtime
