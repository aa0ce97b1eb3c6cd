#include "main/routes.h"

#include "main/rest_tenant.h"
#include "services/realtime/shard.h"
#include "services/rest/api.h"
#include "services/rest/request_id.h"

namespace rt::app {
namespace {

std::string_view without_trailing_slash(std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

}  // namespace

Routes::Routes(const RoutesConfig& config, realtime::Node& node, const Clock& clock, Random& random,
               Obstacles obstacles, Scrape scrape)
    : config_(config),
      node_(node),
      clock_(clock),
      random_(random),
      obstacles_(std::move(obstacles)),
      scrape_(std::move(scrape)),
      sockets_(node) {}

void Routes::add_worker(net::Worker& worker) {
  echoes_.push_back(std::make_unique<ops::Echo>(worker, node_.config.compression));
}

void Routes::on_request(net::Worker& worker, net::ConnectionId connection, http::Request request) {
  const std::string_view path = without_trailing_slash(request.path());
  // SDKs that are pointed at the server itself use the alias of its public URL.
  if (path == "/socket/websocket" || path == "/realtime/v1/websocket")
    return sockets_.on_request(worker, connection, request);
  if (path == "/debug/echo" && config_.debug_echo && request.method == "GET")
    return echoes_[static_cast<std::size_t>(worker.index())]->open(connection, request);

  http::Response response = answer(worker, request);
  response.headers.push_back({"cache-control", "max-age=0, private, must-revalidate"});
  response.headers.push_back({"x-request-id", rest::request_id(request, config_.request_id_baggage_key, random_)});
  worker.respond(connection, response);
}

http::Response Routes::answer(net::Worker& worker, const http::Request& request) {
  const std::string_view path = without_trailing_slash(request.path());
  if (request.method == "GET" || request.method == "HEAD") {
    if (path == "/healthcheck") return http::Response::text(200, "ok");
    if (path == "/metrics") return metrics(request);
    if (path == "/readyz") {
      const std::string obstacles = obstacles_();
      return obstacles.empty() ? http::Response::text(200, "ok") : http::Response::text(503, obstacles);
    }
  }
  if (ops::is_tenant_view(request)) {
    if (!is_operator(request, config_.admin)) return {.status = 403};
    return ops::view_tenants(request, config_.tenants);
  }
  realtime::Shard& shard = *node_.shards[static_cast<std::size_t>(worker.index())];
  if (auto answer = rest::answer(request, rest_tenants(shard))) return *std::move(answer);
  return http::Response::json(404, "\"Not Found\"");
}

http::Response Routes::metrics(const http::Request& request) {
  if (!is_operator(request, config_.metrics)) return {.status = 403};
  return {200, {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}}, scrape_()};
}

bool Routes::is_operator(const http::Request& request, const ops::OperatorTokens& tokens) const {
  return ops::has_operator_token(request, tokens, node_.config.claim_validators, clock_.unix_seconds());
}

}  // namespace rt::app
