#include "main/node_metrics.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "services/ops/exposition.h"

namespace rt::app {
namespace {

using ops::Exposition;
using ops::MetricType;

std::int64_t number(const Counter& counter) { return static_cast<std::int64_t>(counter.value()); }

class Writer {
 public:
  Writer(Exposition& out, const NodeParts& node) : out_(out), node_(node) {}

  using OfWorker = const Counter net::WorkerCounters::*;
  using OfShard = const Counter realtime::ShardCounters::*;

  std::int64_t sum(OfWorker counter) const {
    std::int64_t total = 0;
    for (const net::Worker* worker : node_.workers) total += number(worker->counters().*counter);
    return total;
  }
  std::int64_t sum(OfShard counter) const {
    std::int64_t total = 0;
    for (const realtime::Shard* shard : node_.shards) total += number(shard->counters().*counter);
    return total;
  }
  template <class Member>
  void counter(std::string_view name, std::string_view help, Member member) {
    out_.metric(name, MetricType::kCounter, help);
    out_.sample(sum(member));
  }
  void each_worker(std::string_view name, MetricType type, std::string_view help,
                   const std::function<std::int64_t(std::size_t)>& value) {
    out_.metric(name, type, help);
    for (std::size_t i = 0; i < node_.workers.size(); ++i) out_.sample(value(i), {{"worker", std::to_string(i)}});
  }

 private:
  Exposition& out_;
  const NodeParts& node_;
};

void write_connections(Exposition& out, const NodeParts& node) {
  std::int64_t open = 0;
  for (const net::Worker* worker : node.workers) open += worker->connections();
  out.metric("phoenix_connections_total", MetricType::kGauge, "Open connections of the listener.");
  out.sample(open);
  out.metric("phoenix_connections_active", MetricType::kGauge, "Connections that count against the limit.");
  out.sample(open);
  out.metric("realtime_accepted_total", MetricType::kCounter, "Connections accepted.");
  const net::Listener* tls = node.tls_port != nullptr ? &node.tls_port->listener() : nullptr;
  out.sample(static_cast<std::int64_t>(node.listener->accepted() + (tls != nullptr ? tls->accepted() : 0)));
  out.metric("realtime_accept_failures_total", MetricType::kCounter,
             "Connections that could not be accepted, e.g. for want of descriptors.");
  out.sample(static_cast<std::int64_t>(node.listener->failures() + (tls != nullptr ? tls->failures() : 0)));
  out.metric("phoenix_connections_max", MetricType::kGauge, "Most connections that may be open.");
  out.sample(node.connections_max);
  out.metric("realtime_control_store_up", MetricType::kGauge,
             "1 while the control store can be used; without it tenants are served as they were known.");
  out.sample(node.store_is_usable() ? 1 : 0);
}

void write_tls(Exposition& out, const NodeParts& node, const Writer& writer) {
  if (node.tls_port == nullptr) return;
  out.metric("realtime_tls_handshakes_total", MetricType::kCounter, "TLS handshakes, by how they ended.");
  out.sample(writer.sum(&net::WorkerCounters::tls_handshakes), {{"result", "ok"}});
  out.sample(writer.sum(&net::WorkerCounters::tls_failures), {{"result", "error"}});
  out.metric("realtime_tls_certificate_expires_timestamp_seconds", MetricType::kGauge,
             "When the TLS certificate ends, in Unix time.");
  out.sample(node.tls_port->certificate_expires_at());
}

// The labels are those that dashboards of the reference server ask for.
void write_joins(Exposition& out, const Writer& writer) {
  out.metric("phoenix_channel_joined_total", MetricType::kCounter, "Attempts to join a channel, by how they ended.");
  const auto add = [&](const char* result, const char* transport, std::int64_t count) {
    if (count > 0)
      out.sample(count, {{"result", result}, {"transport", transport}, {"endpoint", "RealtimeWeb.Endpoint"}});
  };
  add("ok", "websocket", writer.sum(&realtime::ShardCounters::joins_ok));
  add("error", "websocket", writer.sum(&realtime::ShardCounters::joins_refused));
  add("ok", "longpoll", writer.sum(&realtime::ShardCounters::long_poll_joins_ok));
  add("error", "longpoll", writer.sum(&realtime::ShardCounters::long_poll_joins_refused));
}

void write_drops(Exposition& out, const Writer& writer) {
  using realtime::ShardCounters;
  out.metric("realtime_dropped_total", MetricType::kCounter, "What was dropped, by reason.");
  out.sample(writer.sum(&net::WorkerCounters::frames_dropped) + writer.sum(&ShardCounters::long_poll_frames_dropped),
             {{"reason", "slow_consumer"}});
  out.sample(writer.sum(&ShardCounters::dropped_size), {{"reason", "size"}});
  out.sample(writer.sum(&ShardCounters::dropped_frame_limit), {{"reason", "frame_limit"}});
  out.sample(writer.sum(&ShardCounters::dropped_text_only), {{"reason", "text_only"}});
  out.metric("realtime_slow_consumers_total", MetricType::kCounter,
             "Connections closed with 1013 and long-poll sessions ended because too much waited for them, by cause.");
  out.sample(writer.sum(&net::WorkerCounters::slow_consumers_queue) + writer.sum(&ShardCounters::long_polls_slow),
             {{"cause", "queue"}});
  out.sample(writer.sum(&net::WorkerCounters::slow_consumers_blocked), {{"cause", "blocked"}});
  out.sample(writer.sum(&net::WorkerCounters::slow_consumers_worker_cap) +
                 writer.sum(&ShardCounters::long_polls_over_worker_cap),
             {{"cause", "worker_cap"}});
}

void write_long_polls(Exposition& out, const Writer& writer) {
  using realtime::ShardCounters;
  out.metric("realtime_long_poll_sessions", MetricType::kGauge, "Open sessions of long-poll clients.");
  out.sample(writer.sum(&ShardCounters::long_polls));
  out.metric("realtime_long_poll_refused_total", MetricType::kCounter,
             "What long-poll clients were refused for want of room, by reason.");
  out.sample(writer.sum(&ShardCounters::long_polls_refused), {{"reason", "sessions"}});
  out.sample(writer.sum(&ShardCounters::long_poll_posts_too_large), {{"reason", "post_size"}});
  out.sample(writer.sum(&ShardCounters::long_poll_posts_over_limit), {{"reason", "posts_waiting"}});
}

void write_rate_limits(Exposition& out, const Writer& writer) {
  using realtime::ShardCounters;
  out.metric("realtime_rate_limit_triggers_total", MetricType::kCounter,
             "How often a tenant reached one of its rates, by rate.");
  out.sample(writer.sum(&ShardCounters::join_limit_triggers), {{"rate", "joins"}});
  out.sample(writer.sum(&ShardCounters::event_limit_triggers), {{"rate", "events"}});
  out.sample(writer.sum(&ShardCounters::request_limit_triggers), {{"rate", "requests"}});
  out.metric("realtime_tenants_over_rate", MetricType::kGauge, "Tenants above one of their rates now, by rate.");
  out.sample(writer.sum(&ShardCounters::tenants_over_join_rate), {{"rate", "joins"}});
  out.sample(writer.sum(&ShardCounters::tenants_over_event_rate), {{"rate", "events"}});
  out.sample(writer.sum(&ShardCounters::tenants_over_request_rate), {{"rate", "requests"}});
  out.metric("realtime_channels_over_event_rate_total", MetricType::kCounter,
             "Channels closed because their tenant had too many messages.");
  out.sample(writer.sum(&ShardCounters::channels_over_event_rate));
}

void write_log_drops(Exposition& out, const NodeParts& node, const Writer& writer) {
  out.metric("realtime_log_lines_dropped_total", MetricType::kCounter, "Log lines not written, by reason.");
  out.sample(static_cast<std::int64_t>(node.log->dropped()), {{"reason", "queue"}});
  out.sample(writer.sum(&realtime::ShardCounters::log_lines_suppressed), {{"reason", "repeated"}});
}

std::vector<ops::Label> global_labels(const NodeParts& node) {
  const std::string host = node.node_name.substr(node.node_name.find('@') + 1);
  const std::string id = host == "127.0.0.1" ? node.node_name : host;
  return {{"host", host}, {"id", id}, {"region", node.region.empty() ? "nil" : node.region}};
}

// One metric with a series for each tenant of which there is anything to say.
void write_of_tenants(Exposition& out, const std::vector<realtime::LiveTenants::Named>& tenants, std::string_view name,
                      MetricType type, std::string_view help,
                      const std::function<std::optional<std::int64_t>(const realtime::LiveTenant&)>& value_of) {
  out.metric(name, type, help);
  for (const auto& [external_id, tenant] : tenants) {
    if (const auto value = value_of(*tenant)) out.sample(*value, {{"tenant", external_id}});
  }
}

std::string scrape_tenants(const NodeParts& node) {
  using realtime::LiveTenant;
  auto tenants = node.tenants->all();
  std::ranges::sort(tenants, {}, &realtime::LiveTenants::Named::external_id);
  Exposition out(global_labels(node));
  const auto total = [](const realtime::RateMeter& meter) {
    const std::uint64_t count = meter.total();
    return count == 0 ? std::nullopt : std::optional(static_cast<std::int64_t>(count));
  };
  const auto connected = [](const LiveTenant& tenant) {
    const std::int64_t users = tenant.users.load();
    return users == 0 && tenant.joins.total() == 0 ? std::nullopt : std::optional(users);
  };
  write_of_tenants(out, tenants, "realtime_connections_connected", MetricType::kGauge,
                   "Sockets that have joined a channel.", connected);
  write_of_tenants(out, tenants, "realtime_connections_connected_cluster", MetricType::kGauge, "The same on all nodes.",
                   connected);
  write_of_tenants(out, tenants, "realtime_channel_events", MetricType::kCounter,
                   "Broadcasts taken from clients and each of their deliveries.",
                   [&](const LiveTenant& tenant) { return total(tenant.events); });
  write_of_tenants(out, tenants, "realtime_channel_joins", MetricType::kCounter, "Joins.",
                   [&](const LiveTenant& tenant) { return total(tenant.joins); });
  return std::move(out).finish();
}

std::string scrape_node(const NodeParts& node) {
  using net::WorkerCounters;
  using realtime::ShardCounters;
  Exposition out(global_labels(node));
  Writer writer(out, node);
  write_connections(out, node);
  write_tls(out, node, writer);
  writer.counter("realtime_channel_global_input_bytes", "Bytes read from sockets.", &WorkerCounters::bytes_in);
  writer.counter("realtime_channel_global_output_bytes", "Bytes written to sockets.", &WorkerCounters::bytes_out);
  writer.counter("realtime_channel_global_events", "Broadcasts taken from clients and each of their deliveries.",
                 &ShardCounters::events);
  writer.counter("realtime_channel_global_joins", "Joins.", &ShardCounters::joins);
  write_joins(out, writer);
  std::int64_t users = 0;
  for (const auto& one : node.tenants->all()) users += one.tenant->users.load();
  out.metric("realtime_connections_global_connected", MetricType::kGauge, "Sockets that have joined a channel.");
  out.sample(users);
  out.metric("realtime_connections_global_connected_cluster", MetricType::kGauge, "The same on all nodes.");
  out.sample(users);
  writer.counter("realtime_http_requests_total", "HTTP requests, handshakes included.", &WorkerCounters::requests);
  writer.counter("realtime_proxy_headers_refused_total",
                 "Connections of trusted proxies closed for want of a good PROXY header.",
                 &WorkerCounters::proxy_headers_refused);
  writer.counter("realtime_rest_requests_total", "Requests of the REST API, those that are refused included.",
                 &ShardCounters::requests);
  writer.counter("realtime_published_total", "Broadcasts accepted from clients.", &ShardCounters::published);
  writer.counter("realtime_deliveries_total", "Broadcasts put into the queues of subscribers.",
                 &ShardCounters::deliveries);
  writer.counter("realtime_malformed_frames_total", "Frames dropped because they are no messages.",
                 &ShardCounters::malformed_frames);
  writer.counter("realtime_handshakes_refused_total", "Handshakes refused after the back-off.",
                 &ShardCounters::handshakes_refused);
  writer.counter("realtime_protocol_violations_total", "Connections closed with 1002, 1007 or 1009.",
                 &WorkerCounters::protocol_violations);
  writer.counter("realtime_send_batches_total", "Times that a worker's output went to the kernel.",
                 &WorkerCounters::flushes);
  writer.counter("realtime_sends_total", "Sends by those batches, one for each connection.", &WorkerCounters::sends);
  writer.counter("realtime_sends_blocked_total", "Of these, sends of which the kernel took nothing.",
                 &WorkerCounters::sends_blocked);
  writer.counter("realtime_inflated_bytes_total", "Bytes that compressed messages of clients came to.",
                 &WorkerCounters::bytes_inflated);
  writer.counter("realtime_receive_cap_closes_total",
                 "Connections closed because incomplete messages held too much memory.",
                 &WorkerCounters::receive_cap_closes);
  writer.counter("realtime_memory_limit_cuts_total", "Sockets cut because their channels held too much memory.",
                 &ShardCounters::memory_limit_cuts);
  write_drops(out, writer);
  write_long_polls(out, writer);
  write_rate_limits(out, writer);
  write_log_drops(out, node, writer);
  writer.each_worker("realtime_worker_connections", MetricType::kGauge, "Open connections of a worker.",
                     [&](std::size_t i) { return node.workers[i]->connections(); });
  writer.each_worker("realtime_worker_sessions", MetricType::kGauge, "Open WebSocket sessions of a worker.",
                     [&](std::size_t i) { return number(node.shards[i]->counters().sessions); });
  writer.each_worker("realtime_worker_channels", MetricType::kGauge, "Joined channels of a worker.",
                     [&](std::size_t i) { return number(node.shards[i]->counters().channels); });
  writer.each_worker("realtime_worker_topics", MetricType::kGauge, "Topics with subscribers on a worker.",
                     [&](std::size_t i) { return number(node.shards[i]->counters().topics); });
  writer.each_worker("realtime_worker_turns_total", MetricType::kCounter, "Turns of a worker's loop.",
                     [&](std::size_t i) { return number(node.workers[i]->counters().turns); });
  ops::write_process_metrics(out);
  return std::move(out).finish();
}

}  // namespace

std::string scrape(const NodeParts& node) { return scrape_node(node) + scrape_tenants(node); }

}  // namespace rt::app
