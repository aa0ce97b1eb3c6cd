// A node of the realtime service with one worker, whose sessions are long polls: no socket is needed.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "io/net/send_batch.h"
#include "protocol/json/value.h"
#include "services/realtime/shard.h"
#include "testing/manual_clock.h"

namespace rt::realtime {

class NoLog final : public Log {
 public:
  bool enabled(LogLevel) const override { return false; }
  void write(LogLevel, const LogFields&, std::string_view) override {}
  std::uint64_t dropped() const override { return 0; }
  void reopen() override {}
};

class NoRequests final : public net::RequestHandler {
 public:
  void on_request(net::Worker&, net::ConnectionId, http::Request) override {}
  void on_answered(net::Worker&, net::ConnectionId, std::optional<int>) override {}
  void on_refused(net::Worker&, const IpAddress&, Expected, const http::Refusal&) override {}
};

// A node of one worker, which runs on the test's thread. Its clock stands still, so no turn is over for its length.
struct OneWorker {
  explicit OneWorker(NodeConfig config = {}) : OneWorker(std::move(config), log) {}
  // `told` outlives it.
  OneWorker(NodeConfig config, Log& told) : node(std::move(config), HashKey{1, 2}, tenants, told, random) {
    node.shards.push_back(&shard);
  }
  ~OneWorker() { worker.discard_mail(); }

  // A long-poll session, by its token.
  std::string open() {
    std::string token;
    const auto opened = shard.long_polls().open(
        {.tenant = tenants.of_host("acme"), .token = std::make_shared<const Token>()},
        [&token](const http::Response& response) { token = *json::Value(response.body).member("token")->string(); });
    RT_CHECK(opened);
    return token;
  }

  ManualClock clock;
  NoLog log;
  NoRequests requests;
  SystemRandom random;
  LiveTenants tenants{[](std::string_view name) {
                        return std::make_shared<const TenantRecord>(TenantRecord{.external_id = std::string(name)});
                      },
                      "", 1, clock};
  Node node;
  net::Worker worker{0, {}, clock, requests, std::make_unique<net::SendmsgBatch>()};
  Shard shard{node, worker};
};

}  // namespace rt::realtime
