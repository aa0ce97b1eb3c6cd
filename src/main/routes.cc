#include "main/routes.h"

#include <algorithm>

#include "base/percent.h"
#include "main/request_failure.h"
#include "main/rest_tenant.h"
#include "protocol/http/cors.h"
#include "protocol/http/gzip.h"
#include "services/ops/openapi.h"
#include "services/realtime/shard.h"
#include "services/rest/api.h"
#include "services/rest/request_id.h"

namespace rt::app {
namespace {

constexpr std::size_t kGzipOnWorkerBytesMax = 32 * 1024;  // a fraction of a millisecond

// The region that a scrape asks for, as in the path, empty for all of them; nullopt: the path is for no scrape.
std::optional<std::string_view> metrics_region(std::string_view path) {
  constexpr std::string_view kMetrics = "/metrics";
  if (path == kMetrics) return "";
  if (!path.starts_with(std::string(kMetrics) + "/")) return std::nullopt;
  path.remove_prefix(kMetrics.size() + 1);
  return path.find('/') == std::string_view::npos ? std::optional(path) : std::nullopt;
}

// Whether it is the tenant of the host that the path is about.
bool concerns_tenant(std::string_view resource) {
  return resource == "/socket/websocket" || resource == "/websocket" || resource == "/socket/longpoll" ||
         resource == "/longpoll" || resource == "/api/ping" || resource.starts_with("/api/broadcast");
}

std::string_view code_of(net::RequestHandler::Expected expected) {
  using Expected = net::RequestHandler::Expected;
  switch (expected) {
    case Expected::kRequest:
      return "HttpClientError";
    case Expected::kProxyHeader:
      return "ProxyHeaderRefused";
    case Expected::kTlsHandshake:
      return "TlsHandshakeFailed";
  }
  return {};
}

// Clients try again by themselves; whoever stands in front may ask another node.
http::Response not_loaded() {
  http::Response response =
      http::Response::json(503, R"({"message":"The control store cannot be reached yet: try again"})");
  response.headers.push_back({"retry-after", "1"});
  http::allow_any_origin(response);
  return response;
}

// What was found out elsewhere, on its way to the worker that has the request.
class LaterMail final : public net::Mail {
 public:
  explicit LaterMail(std::function<void()> call) : call_(std::move(call)) {}
  void deliver() override { call_(); }

 private:
  std::function<void()> call_;
};

}  // namespace

Routes::Routes(const RoutesConfig& config, realtime::Node& node, tenancy::TenantApi& tenants, const Clock& clock,
               Random& random, JobThread& jobs, TenantSearch search, Obstacles obstacles, Scrape scrape)
    : config_(config),
      node_(node),
      tenants_(tenants),
      search_(std::move(search)),
      clock_(clock),
      random_(random),
      obstacles_(std::move(obstacles)),
      scrape_(std::move(scrape)),
      jobs_(jobs),
      sockets_(node),
      long_polls_(node) {}

void Routes::add_worker(net::Worker& worker) {
  long_polls_.add_worker();
  echoes_.push_back(std::make_unique<ops::Echo>(worker, node_.config.compression));
  realtime::Shard& shard = *node_.shards[static_cast<std::size_t>(worker.index())];
  request_logs_.push_back(
      std::make_unique<ops::RequestLog>(node_.log, config_.health_checks, shard.counters().log_lines_suppressed));
}

void Routes::on_request(net::Worker& worker, net::ConnectionId connection, http::Request request) {
  request.id = rest::request_id(request, config_.request_id_baggage_key, random_);
  request_logs_[static_cast<std::size_t>(worker.index())]->begin(connection, request, worker.now());
  const std::string host = concerns_tenant(request.resource()) ? request.host() : std::string();
  const std::string_view tenant = std::string_view(host).substr(0, host.find('.'));
  if (tenant.empty() || search_.is_known(tenant)) return dispatch(worker, connection, std::move(request));

  const auto kept = std::make_shared<http::Request>(std::move(request));
  const bool looks = search_.look_up(tenant, [this, &worker, connection, kept] {
    worker.post(std::make_unique<LaterMail>([this, &worker, connection, kept] {
      if (worker.is_open(connection)) dispatch(worker, connection, std::move(*kept));
    }));
  });
  if (!looks) dispatch(worker, connection, std::move(*kept));
}

void Routes::on_answered(net::Worker& worker, net::ConnectionId connection, std::optional<int> status) {
  long_polls_.on_answered(worker, connection, status);
  request_logs_[static_cast<std::size_t>(worker.index())]->end(connection, status, clock_.now());
}

void Routes::on_refused(net::Worker& worker, const IpAddress& client, Expected expected, const http::Refusal& refusal) {
  const std::string from = client.text();
  const bool is_answered = refusal.status != 0;
  node_.shards[static_cast<std::size_t>(worker.index())]->log(
      LogLevel::kWarning, {.error_code = code_of(expected), .client = from},
      is_answered ? "Sent " + std::to_string(refusal.status) + " response: " + refusal.reason : refusal.reason);
}

void Routes::dispatch(net::Worker& worker, net::ConnectionId connection, http::Request request) {
  const std::string_view path = request.resource();
  // A browser's question beforehand has its answer, else the page could not read this one.
  if (concerns_tenant(path) && request.method != "OPTIONS" && !search_.is_loaded()) {
    return respond({.worker = worker, .connection = connection, .id = request.id, .takes_gzip = false}, not_loaded());
  }
  // Behind `/realtime/v1` SDKs ask for `/websocket`, and `/longpoll`.
  if (path == "/socket/websocket" || (path == "/websocket" && request.path().starts_with("/realtime/")))
    return sockets_.on_request(worker, connection, request);
  if (path == "/debug/echo" && config_.debug_echo && request.method == "GET")
    return echoes_[static_cast<std::size_t>(worker.index())]->open(connection, request);

  const bool is_long_poll =
      path == "/socket/longpoll" || (path == "/longpoll" && request.path().starts_with("/realtime/"));
  // Answers to long-polls are small, and thousands of them at once are the rule, so they are not compressed.
  const Exchange exchange{.worker = worker,
                          .connection = connection,
                          .id = request.id,
                          .takes_gzip = !is_long_poll && http::accepts_gzip(request)};
  if (is_long_poll) return long_poll(exchange, std::move(request));
  const bool gets = request.method == "GET" || request.method == "HEAD";
  if (gets && metrics_region(path)) return metrics(exchange, request);
  if (const ops::StaticFile* file = gets ? files_.find(path) : nullptr) return send_file(exchange, request, *file);
  if (const auto access = tenancy::TenantApi::access_for(request)) {
    if (!may(*access, request)) return respond(exchange, {.status = 403});
    return administer(exchange, request);
  }
  if (broadcast(exchange, request)) return;
  http::Response response = answer(request);
  log_failure(worker, request, response);
  respond(exchange, std::move(response));
}

bool Routes::broadcast(const Exchange& exchange, const http::Request& request) {
  realtime::Shard& shard = *node_.shards[static_cast<std::size_t>(exchange.worker.index())];
  // The answer may have to wait for a database, and the request is gone by then.
  http::Request head{.method = request.method, .target = request.target, .client = request.client, .id = request.id};
  if (const auto host = request.header("host")) head.headers.push_back({"host", std::string(*host)});
  return rest::answer(request, rest_tenants(shard, request.id),
                      [this, exchange, head = std::move(head)](http::Response response) {
                        log_failure(exchange.worker, head, response);
                        respond(exchange, std::move(response));
                      });
}

void Routes::administer(const Exchange& exchange, const http::Request& request) {
  const http::Request head{
      .method = request.method, .target = request.target, .client = request.client, .id = request.id};
  tenants_.handle(request, [this, exchange, head](http::Response response) {
    if (exchange.worker.in_loop_thread()) {
      log_failure(exchange.worker, head, response);
      return respond(exchange, std::move(response));
    }
    if (failure_of(head, response)) {
      exchange.worker.post(std::make_unique<LaterMail>(
          [this, &worker = exchange.worker, head, response] { log_failure(worker, head, response); }));
    }
    respond_from_elsewhere(exchange, std::move(response));
  });
}

void Routes::long_poll(const Exchange& exchange, http::Request request) {
  long_polls_.on_request(exchange.worker, exchange.connection, std::move(request), [exchange](http::Response response) {
    if (exchange.worker.in_loop_thread()) return respond(exchange, std::move(response));
    respond_from_elsewhere(exchange, std::move(response));
  });
}

void Routes::send_file(const Exchange& exchange, const http::Request& request, const ops::StaticFile& file) {
  const ops::Coding coding = exchange.takes_gzip ? ops::Coding::kGzip : ops::Coding::kNone;
  const Exchange as_it_is{exchange.worker, exchange.connection, exchange.id, false};
  if (auto answer = ops::answer_without_body(request, file, coding)) {
    log_failure(exchange.worker, request, *answer);
    return respond(as_it_is, std::move(*answer));
  }
  if (auto body = files_.ready(file, coding)) return respond(as_it_is, ops::answer_with(file, coding, std::move(body)));
  const bool posted = jobs_.post([this, as_it_is, &file, coding] {
    respond_from_elsewhere(as_it_is, ops::answer_with(file, coding, files_.load(file, coding)));
  });
  if (posted) return;
  http::Response busy = http::Response::text(503, "too much to do at once: try again");
  log_failure(exchange.worker, request, busy);
  respond(as_it_is, std::move(busy));
}

void Routes::log_failure(net::Worker& worker, const http::Request& request, const http::Response& response) {
  if (response.status < 400) return;
  const auto failure = failure_of(request, response);
  if (!failure) return;
  std::string name;
  if (const auto named = tenancy::TenantApi::tenant_of(request)) {
    name = *named;
  } else if (const auto tenant =
                 concerns_tenant(request.resource()) ? node_.tenants.of_host(request.host()) : nullptr) {
    name = tenant->record(worker.index()).external_id;
  }
  const std::string client = request.client.text();
  node_.shards[static_cast<std::size_t>(worker.index())]->log(
      failure->level, {.tenant = name, .error_code = failure->code, .request_id = request.id, .client = client},
      failure->text);
}

void Routes::respond(const Exchange& exchange, http::Response response) {
  if (exchange.takes_gzip && response.body.size() <= kGzipOnWorkerBytesMax) http::gzip(response);
  if (std::ranges::find(response.headers, "cache-control", &http::Header::name) == response.headers.end())
    response.headers.push_back({"cache-control", "max-age=0, private, must-revalidate"});
  response.headers.push_back({"x-request-id", exchange.id});
  exchange.worker.respond(exchange.connection, std::move(response));
}

void Routes::respond_from_elsewhere(const Exchange& exchange, http::Response response) {
  if (exchange.takes_gzip) http::gzip(response);
  const std::size_t bytes = response.body.size();
  exchange.worker.post(std::make_unique<LaterMail>(
                           [exchange = Exchange{exchange.worker, exchange.connection, exchange.id, false},
                            response = std::move(response)]() mutable { respond(exchange, std::move(response)); }),
                       bytes);
}

http::Response Routes::answer(const http::Request& request) const {
  const std::string_view path = request.resource();
  if (request.method == "GET" || request.method == "HEAD") {
    if (path == "/healthcheck") return http::Response::text(200, "ok");
    if (path == "/api/openapi") return http::Response::json(200, std::string(ops::openapi_document()));
    if (path == "/readyz") {
      const std::string obstacles = obstacles_();
      return obstacles.empty() ? http::Response::text(200, "ok") : http::Response::text(503, obstacles);
    }
  }
  return http::Response::json(404, "\"Not Found\"");
}

void Routes::metrics(const Exchange& exchange, const http::Request& request) {
  const auto claims =
      ops::operator_claims(request, config_.metrics, node_.config.claim_validators, clock_.unix_seconds());
  if (!claims) return respond(exchange, {.status = 403});
  const http::Header type{"content-type", "text/plain; version=0.0.4; charset=utf-8"};
  const auto region = percent_decode(metrics_region(request.resource()).value_or(""));
  const bool is_elsewhere = !region || (!region->empty() && *region != config_.region);
  if (is_elsewhere) return respond(exchange, {200, {type}, ""});
  if (jobs_.post([this, exchange, type] { respond_from_elsewhere(exchange, {200, {type}, scrape_()}); })) return;
  http::Response busy = http::Response::text(503, "too many scrapes at once: try again");
  log_failure(exchange.worker, request, busy);
  respond(exchange, std::move(busy));
}

bool Routes::may(tenancy::TenantApi::Access access, const http::Request& request) const {
  const auto claims =
      ops::operator_claims(request, config_.admin, node_.config.claim_validators, clock_.unix_seconds());
  return claims && (access == tenancy::TenantApi::Access::kLook || !ops::is_of_client(*claims));
}

}  // namespace rt::app
