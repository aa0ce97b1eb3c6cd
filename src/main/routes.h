// Which request goes where.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/job_thread.h"
#include "base/random.h"
#include "io/net/worker.h"
#include "services/ops/echo.h"
#include "services/ops/operator_token.h"
#include "services/ops/request_log.h"
#include "services/ops/static_files.h"
#include "services/realtime/long_poll_endpoint.h"
#include "services/realtime/node.h"
#include "services/realtime/socket_endpoint.h"
#include "services/tenancy/tenant_api.h"

namespace rt::app {

struct RoutesConfig {
  ops::OperatorTokens metrics;
  ops::OperatorTokens admin;
  std::string region;  // empty: none
  std::string request_id_baggage_key;
  bool debug_echo = false;
  ops::HealthChecks health_checks = ops::HealthChecks::kLogged;
};

class Routes final : public net::RequestHandler {  // used by all workers at once, each on its thread
 public:
  // What stands in the way of traffic; empty: the node is ready. Thread-safe.
  using Obstacles = std::function<std::string()>;
  // The text of a scrape.
  using Scrape = std::function<std::string()>;

  // Where tenants are found that this node does not know. Thread-safe.
  struct TenantSearch {
    std::function<bool()> is_loaded;  // false: no tenant is known yet
    std::function<bool(std::string_view external_id)> is_known;
    // True: `done` is called when it has been looked for, from any thread. False: there is nothing to wait for.
    std::function<bool(std::string_view external_id, std::function<void()> done)> look_up;
  };

  // The node must be complete before the workers run; it and the others outlive the routes.
  Routes(const RoutesConfig& config, realtime::Node& node, tenancy::TenantApi& tenants, const Clock& clock,
         Random& random, JobThread& jobs, TenantSearch search, Obstacles obstacles, Scrape scrape);

  // Before the workers run; the node has its shard already.
  void add_worker(net::Worker& worker);

  void on_request(net::Worker& worker, net::ConnectionId connection, http::Request request) override;
  void on_answered(net::Worker& worker, net::ConnectionId connection, std::optional<int> status) override;
  void on_refused(net::Worker& worker, const IpAddress& client, Expected expected,
                  const http::Refusal& refusal) override;

 private:
  // What an answer depends on besides what is asked.
  struct Exchange {
    net::Worker& worker;
    net::ConnectionId connection;
    std::string id;
    bool takes_gzip;
  };

  void dispatch(net::Worker& worker, net::ConnectionId connection, http::Request request);
  http::Response answer(const http::Request& request) const;
  // False: it is for another part of the server.
  bool broadcast(const Exchange& exchange, const http::Request& request);
  // Of one that failed, why; on the worker's thread.
  void log_failure(net::Worker& worker, const http::Request& request, const http::Response& response);
  void long_poll(const Exchange& exchange, http::Request request);
  void administer(const Exchange& exchange, const http::Request& request);
  void send_file(const Exchange& exchange, const http::Request& request, const ops::StaticFile& file);
  // On the thread for jobs: a node with many tenants has much to say.
  void metrics(const Exchange& exchange, const http::Request& request);
  bool may(tenancy::TenantApi::Access access, const http::Request& request) const;
  // With the headers that every answer has. On the worker's thread.
  static void respond(const Exchange& exchange, http::Response response);
  // From another thread, which has the time to compress more.
  static void respond_from_elsewhere(const Exchange& exchange, http::Response response);

  const RoutesConfig config_;
  realtime::Node& node_;
  tenancy::TenantApi& tenants_;
  const TenantSearch search_;
  const Clock& clock_;
  Random& random_;
  const Obstacles obstacles_;
  const Scrape scrape_;
  JobThread& jobs_;
  ops::StaticFiles files_{ops::swagger_ui_files()};
  realtime::SocketEndpoint sockets_;
  realtime::LongPollEndpoint long_polls_;
  std::vector<std::unique_ptr<ops::Echo>> echoes_;              // by worker index
  std::vector<std::unique_ptr<ops::RequestLog>> request_logs_;  // likewise
};

}  // namespace rt::app
