#include "main/routes.h"

namespace rt::app {
namespace {

std::string_view without_trailing_slash(std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

}  // namespace

Routes::Routes(const RoutesConfig& config, realtime::Node& node, const Clock& clock, Obstacles obstacles, Scrape scrape)
    : config_(config),
      node_(node),
      clock_(clock),
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

  const bool is_get = request.method == "GET" || request.method == "HEAD";
  if (is_get && path == "/healthcheck") return worker.respond(connection, http::Response::text(200, "ok"));
  if (is_get && path == "/readyz") {
    const std::string obstacles = obstacles_();
    return worker.respond(connection,
                          obstacles.empty() ? http::Response::text(200, "ok") : http::Response::text(503, obstacles));
  }
  if (is_get && path == "/metrics") {
    if (!ops::has_operator_token(request, config_.metrics, node_.config.claim_validators, clock_.unix_seconds())) {
      return worker.respond(connection, {.status = 403});
    }
    return worker.respond(connection, {200, {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}}, scrape_()});
  }
  if (is_get && path == "/debug/echo" && config_.debug_echo) {
    return echoes_[static_cast<std::size_t>(worker.index())]->open(connection, request);
  }
  worker.respond(connection, http::Response::json(404, "\"Not Found\""));
}

}  // namespace rt::app
