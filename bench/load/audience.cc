#include "load/audience.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "load/client_frame.h"
#include "load/usage.h"

namespace rt::load {
namespace {

using Clock = std::chrono::steady_clock;

std::string topic_name(std::size_t index) {
  char name[32];
  std::snprintf(name, sizeof(name), "realtime:topic-%03zu", index);  // equally long, as their frames have to be
  return name;
}

std::string round_of_frames(const Traffic& traffic) {
  std::string out;
  for (std::size_t message = 0; message < traffic.in_flight; ++message) {
    for (std::size_t topic = 0; topic < traffic.topics; ++topic) {
      append_client_frame(out, ws::Opcode::kText,
                          "[\"" + std::to_string(topic + 1) + R"(","9",")" + topic_name(topic) + R"(","broadcast",)" +
                              traffic.payload + "]");
    }
  }
  return out;
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  while (times-- > 0) out += text;
  return out;
}

Result<void> warm_up(ClientLoop& loop, Audience& audience, Traffic traffic) {
  traffic.rounds = traffic.rounds / 10 + 1;
  FanOutFigures not_kept;
  return measure_run(loop, audience, traffic, not_kept);
}

Result<void> run_rounds(ClientLoop& loop, Audience& audience, const Traffic& traffic) {
  const DeliveryMeter& meter = audience.meter();
  for (std::size_t expected = 0, round = 0; round < traffic.rounds; ++round) {
    expected += traffic.deliveries_per_round();
    audience.meter().begin_round(Clock::now());
    if (const auto sent = audience.send_round(); !sent) return sent;
    if (const auto arrived = loop.run_until([&] { return meter.received() >= expected; }, "deliveries"); !arrived)
      return fail(arrived.error(), "round " + std::to_string(round) + ", " + std::to_string(meter.received()) + " of " +
                                       std::to_string(expected) + " deliveries so far");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ServerAudience>> ServerAudience::gather(const Bench& bench, const ServerConfig& config,
                                                               const Traffic& traffic, std::string_view more_headers,
                                                               Wire wire) {
  auto server = ServerProcess::start(config);
  if (!server) return tl::make_unexpected(server.error());
  std::unique_ptr<ServerAudience> audience(
      new ServerAudience(bench.loop, std::move(*server), traffic, more_headers, wire));
  if (const auto joined = audience->join(traffic); !joined) return tl::make_unexpected(joined.error());
  if (const auto warm = warm_up(bench.loop, *audience, traffic); !warm) return fail(warm.error(), "warming up");

  const std::string& sample = audience->meter_.sample();
  if (!audience->has_deflate() && !sample.ends_with(traffic.payload + "]"))
    return fail("the server delivered something else than was sent: " + sample);
  return audience;
}

ServerAudience::ServerAudience(ClientLoop& loop, std::unique_ptr<ServerProcess> server, const Traffic& traffic,
                               std::string_view more_headers, Wire wire)
    : server_(std::move(server)),
      meter_(traffic.subscribers()),
      subscribers_(loop, wire == Wire::kTls ? server_->tls_port() : server_->port(), server_->handshake(more_headers),
                   wire),
      publishers_(loop, server_->port(), server_->handshake()),
      round_(round_of_frames(traffic)) {}

Result<void> ServerAudience::join(const Traffic& traffic) {
  const auto one_topic = [&](std::size_t id) { return Crowd::Topics{topic_name(id % traffic.topics)}; };
  const auto all_topics = [&](std::size_t) {
    Crowd::Topics names;
    for (std::size_t topic = 0; topic < traffic.topics; ++topic) names.push_back(topic_name(topic));
    return names;
  };
  if (const auto added = subscribers_.add(traffic.subscribers(), one_topic); !added) return added;
  if (const auto added = publishers_.add(1, all_topics); !added) return added;
  subscribers_.tell(meter_);
  return {};
}

Result<void> ServerAudience::send_round() {
  publishers_[0].send_bytes(round_);
  return {};
}

Result<std::unique_ptr<BaselineAudience>> BaselineAudience::gather(const Bench& bench, const Traffic& traffic,
                                                                   std::string_view sample) {
  const std::string bytes = repeated(sample, traffic.in_flight);
  auto process = BaselineProcess::start(bench.server.cores, traffic.subscribers(), bytes);
  if (!process) return tl::make_unexpected(process.error());
  std::unique_ptr<BaselineAudience> audience(new BaselineAudience(std::move(*process), traffic.subscribers()));
  if (const auto connected = audience->connect(bench.loop, traffic.subscribers()); !connected)
    return tl::make_unexpected(connected.error());
  if (const auto warm = warm_up(bench.loop, *audience, traffic); !warm)
    return fail(warm.error(), "warming up the baseline");
  return audience;
}

BaselineAudience::BaselineAudience(std::unique_ptr<BaselineProcess> process, std::size_t subscribers)
    : process_(std::move(process)), meter_(subscribers) {}

Result<void> BaselineAudience::connect(ClientLoop& loop, std::size_t subscribers) {
  for (std::size_t id = 0; id < subscribers; ++id) {
    auto client = Client::connect(loop, process_->port(), {}, id, meter_);
    if (!client) return tl::make_unexpected(client.error());
    clients_.push_back(std::move(*client));
    const auto is_open = [&] { return clients_.back()->is_open(); };
    if (const auto opened = loop.run_until(is_open, "a connection to the baseline"); !opened) return opened;
  }
  return {};
}

Result<void> measure_run(ClientLoop& loop, Audience& audience, const Traffic& traffic, FanOutFigures& figures) {
  DeliveryMeter& meter = audience.meter();
  const std::size_t expected = traffic.rounds * traffic.deliveries_per_round();
  meter.begin_run(expected);
  const auto cpu_before = settled_cpu_ns(audience.sender());
  const auto start = Clock::now();
  if (const auto sent = run_rounds(loop, audience, traffic); !sent) return sent;
  const std::chrono::duration<double> took = Clock::now() - start;
  const auto cpu_after = settled_cpu_ns(audience.sender());
  if (!cpu_before || !cpu_after) return tl::make_unexpected((cpu_before ? cpu_after : cpu_before).error());
  if (const auto complete = meter.check_each(traffic.rounds * traffic.in_flight); !complete) return complete;

  const auto deliveries = static_cast<double>(expected);
  figures.deliveries_per_second.push_back(deliveries / took.count());
  figures.cpu_ns_per_delivery.push_back(static_cast<double>(*cpu_after - *cpu_before) / deliveries);
  figures.latency_p50_us.push_back(meter.latency_us(0.5));
  figures.latency_p99_us.push_back(meter.latency_us(0.99));
  return {};
}

Result<Compared> measure_in_turns(const Bench& bench, Audience& one, Audience& other, const Traffic& traffic) {
  Compared out;
  for (int run = 0; run < bench.runs; ++run) {
    if (const auto ok = measure_run(bench.loop, one, traffic, out.one); !ok) return tl::make_unexpected(ok.error());
    if (const auto ok = measure_run(bench.loop, other, traffic, out.other); !ok) return tl::make_unexpected(ok.error());
  }
  return out;
}

void add_cost_of_other(Report& report, const std::string& scenario, const Compared& runs,
                       std::optional<double> cpu_ratio_max) {
  report.add({.scenario = scenario,
              .figure = "server CPU per delivery",
              .unit = "ns",
              .values = runs.other.cpu_ns_per_delivery,
              .baseline = runs.one.cpu_ns_per_delivery,
              .ratio = ratios(runs.other.cpu_ns_per_delivery, runs.one.cpu_ns_per_delivery),
              .ratio_max = cpu_ratio_max});
  report.add({.scenario = scenario,
              .figure = "latency p99",
              .unit = "µs",
              .values = runs.other.latency_p99_us,
              .baseline = runs.one.latency_p99_us});
}

}  // namespace rt::load
