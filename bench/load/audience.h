// A thousand subscribers and whoever sends to them: the server by way of a publisher, or the baseline.
//
// Both are measured by the same code: a round is sent, everybody gets it, the next one is sent.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/baseline_process.h"
#include "load/crowd.h"
#include "load/delivery_meter.h"
#include "load/report.h"
#include "load/scenario.h"
#include "load/server_process.h"

namespace rt::load {

struct Traffic {
  std::size_t topics = 1;
  std::size_t subscribers_per_topic = 1'000;
  std::size_t in_flight = 1;  // messages to each topic in one round; all messages of a round go out in one write
  std::size_t rounds = 300;   // of a run
  std::string payload;

  std::size_t subscribers() const { return topics * subscribers_per_topic; }
  std::size_t deliveries_per_round() const { return subscribers() * in_flight; }
};

class Audience {
 public:
  virtual ~Audience() = default;
  virtual pid_t sender() const = 0;  // whose CPU time counts
  virtual Result<void> send_round() = 0;
  virtual DeliveryMeter& meter() = 0;
};

class ServerAudience final : public Audience {
 public:
  // Everybody has joined and is warmed up. `more_headers` go into the handshakes.
  static Result<std::unique_ptr<ServerAudience>> gather(const Bench& bench, const ServerConfig& config,
                                                        const Traffic& traffic, std::string_view more_headers = {},
                                                        Wire wire = Wire::kPlain);

  const ServerProcess& server() const { return *server_; }
  bool has_deflate() { return subscribers_[0].has_deflate(); }
  pid_t sender() const override { return server_->pid(); }
  Result<void> send_round() override;
  DeliveryMeter& meter() override { return meter_; }

 private:
  ServerAudience(ClientLoop& loop, std::unique_ptr<ServerProcess> server, const Traffic& traffic,
                 std::string_view more_headers, Wire wire);
  Result<void> join(const Traffic& traffic);

  const std::unique_ptr<ServerProcess> server_;
  DeliveryMeter meter_;  // the clients tell it
  Crowd subscribers_;
  Crowd publishers_;  // one
  const std::string round_;
};

class BaselineAudience final : public Audience {
 public:
  // `sample` is a frame of the server.
  static Result<std::unique_ptr<BaselineAudience>> gather(const Bench& bench, const Traffic& traffic,
                                                          std::string_view sample);

  pid_t sender() const override { return process_->pid(); }
  Result<void> send_round() override { return process_->send_to_all(); }
  DeliveryMeter& meter() override { return meter_; }

 private:
  BaselineAudience(std::unique_ptr<BaselineProcess> process, std::size_t subscribers);
  Result<void> connect(ClientLoop& loop, std::size_t subscribers);

  const std::unique_ptr<BaselineProcess> process_;
  DeliveryMeter meter_;
  std::vector<std::unique_ptr<Client>> clients_;
};

// Figures of several runs.
struct FanOutFigures {
  Series deliveries_per_second;
  Series cpu_ns_per_delivery;
  Series latency_p50_us;
  Series latency_p99_us;
};

// Adds the figures of one run.
Result<void> measure_run(ClientLoop& loop, Audience& audience, const Traffic& traffic, FanOutFigures& figures);

struct Compared {
  FanOutFigures one;
  FanOutFigures other;
};

// Runs in turns, so that what disturbs the machine for a while disturbs both.
Result<Compared> measure_in_turns(const Bench& bench, Audience& one, Audience& other, const Traffic& traffic);

// Rows with the CPU per delivery and the latency of `other`, whose baseline is `one`.
void add_cost_of_other(Report& report, const std::string& scenario, const Compared& runs,
                       std::optional<double> cpu_ratio_max);

}  // namespace rt::load
