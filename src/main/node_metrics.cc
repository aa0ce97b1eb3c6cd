#include "main/node_metrics.h"

#include <algorithm>
#include <functional>
#include <map>
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
  using Traffic = const net::Traffic net::WorkerCounters::*;

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
  std::int64_t sum(Traffic traffic, Counter net::Traffic::* direction) const {
    std::int64_t total = 0;
    for (const net::Worker* worker : node_.workers) total += number(worker->counters().*traffic.*direction);
    return total;
  }
  template <class... Member>
  void counter(std::string_view name, std::string_view help, Member... member) {
    out_.metric(name, MetricType::kCounter, help);
    out_.sample(sum(member...));
  }
  // Of the reference server: it has no series before something was counted.
  template <class... Member>
  void counter_once_seen(std::string_view name, std::string_view help, Member... member) {
    if (sum(member...) > 0) counter(name, help, member...);
  }
  void each_worker(std::string_view name, MetricType type, std::string_view help,
                   const std::function<std::int64_t(std::size_t)>& value) {
    out_.metric(name, type, help);
    for (std::size_t i = 0; i < node_.workers.size(); ++i) out_.sample(value(i), {{"worker", std::to_string(i)}});
  }
  // `add` adds one shard's part.
  void histogram(const std::function<void(const realtime::ShardCounters&, HistogramCounts&)>& add, std::int64_t unit,
                 ops::Labels labels) {
    HistogramCounts counts;
    for (const realtime::Shard* shard : node_.shards) add(shard->counters(), counts);
    if (counts.total() > 0) out_.histogram(counts, unit, labels);
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
  out.metric("realtime_tls_sessions_broken_total", MetricType::kCounter,
             "Connections ended for what they sent as TLS after the handshake.");
  out.sample(writer.sum(&net::WorkerCounters::tls_broken));
  out.metric("realtime_tls_offloads_total", MetricType::kCounter,
             "Connections whose keys the kernel was given to encrypt with, by whether it took them.");
  out.sample(writer.sum(&net::WorkerCounters::tls_kernel_writers), {{"result", "ok"}});
  out.sample(writer.sum(&net::WorkerCounters::tls_kernel_refusals), {{"result", "error"}});
  out.metric(
      "realtime_tls_offload_rekeys_total", MetricType::kCounter,
      "Connections ended because they asked for new keys while the kernel encrypts; TLS_OFFLOAD=off serves them.");
  out.sample(writer.sum(&net::WorkerCounters::tls_kernel_rekeys));
  out.metric("realtime_tls_certificate_expires_timestamp_seconds", MetricType::kGauge,
             "When the TLS certificate ends, in Unix time.");
  out.sample(node.tls_port->certificate_expires_at());
}

// Labels that dashboards of the reference server ask for.
constexpr ops::Label kEndpoint{"endpoint", "RealtimeWeb.Endpoint"};
constexpr ops::Label kWebSocket{"transport", "websocket"};
constexpr ops::Label kLongPoll{"transport", "longpoll"};

void write_joins(Exposition& out, const Writer& writer) {
  out.metric("phoenix_channel_joined_total", MetricType::kCounter, "Attempts to join a channel, by how they ended.");
  const auto add = [&](std::string_view result, ops::Label transport, std::int64_t count) {
    if (count > 0) out.sample(count, {{"result", result}, transport, kEndpoint});
  };
  add("ok", kWebSocket, writer.sum(&realtime::ShardCounters::joins_ok));
  add("error", kWebSocket, writer.sum(&realtime::ShardCounters::joins_refused));
  add("ok", kLongPoll, writer.sum(&realtime::ShardCounters::long_poll_joins_ok));
  add("error", kLongPoll, writer.sum(&realtime::ShardCounters::long_poll_joins_refused));
}

constexpr std::int64_t kNanosecondsPerMillisecond = 1'000'000;

void write_handling(Exposition& out, Writer& writer) {
  using realtime::HandshakeResult;
  using realtime::ShardCounters;
  out.metric("phoenix_channel_handled_in_duration_milliseconds", MetricType::kHistogram,
             "Time to handle one message for a channel. Of messages that were read together each has its equal part.");
  writer.histogram([](const ShardCounters& shard, HistogramCounts& counts) { shard.messages.add_to(counts); },
                   kNanosecondsPerMillisecond, {kEndpoint});
  out.metric("phoenix_socket_connected_duration_milliseconds", MetricType::kHistogram,
             "Time to handle a handshake, without the back-off before a refusal.");
  const auto add = [&](realtime::Transport transport, ops::Label transport_label, HandshakeResult result,
                       std::string_view result_name, phoenix::Version version, std::string_view serializer) {
    writer.histogram([=](const ShardCounters& shard,
                         HistogramCounts& counts) { shard.handshake_times(transport, result, version).add_to(counts); },
                     kNanosecondsPerMillisecond,
                     {{"result", result_name}, transport_label, kEndpoint, {"serializer", serializer}});
  };
  constexpr std::string_view kV1 = "Elixir.Phoenix.Socket.V1.JSONSerializer";
  for (const auto& [result, name] : {std::pair(HandshakeResult::kOk, "ok"), {HandshakeResult::kError, "error"}}) {
    using phoenix::Version;
    using realtime::Transport;
    add(Transport::kWebSocket, kWebSocket, result, name, Version::kV1, kV1);
    add(Transport::kWebSocket, kWebSocket, result, name, Version::kV2, "Elixir.RealtimeWeb.Socket.V2Serializer");
    add(Transport::kLongPoll, kLongPoll, result, name, Version::kV1, kV1);
    add(Transport::kLongPoll, kLongPoll, result, name, Version::kV2, "Elixir.Phoenix.Socket.V2.JSONSerializer");
  }
}

void write_payloads(Exposition& out, Writer& writer) {
  out.metric("realtime_payload_size", MetricType::kHistogram, "Bytes of a payload, as its limit measures them.");
  writer.histogram(
      [](const realtime::ShardCounters& shard, HistogramCounts& counts) { shard.broadcasts.add_to(counts); }, 1,
      {{"message_type", "broadcast"}});
  writer.histogram([](const realtime::ShardCounters& shard, HistogramCounts& counts) { shard.tracks.add_to(counts); },
                   1, {{"message_type", "presence"}});
  writer.histogram([](const realtime::ShardCounters& shard, HistogramCounts& counts) { shard.changes.add_to(counts); },
                   1, {{"message_type", "postgres_changes"}});
}

void write_errors(Exposition& out, const NodeParts& node) {
  std::map<std::string_view, std::uint64_t> by_code;
  for (const realtime::Shard* shard : node.shards) {
    shard->counters().errors.for_each([&](std::string_view code, std::uint64_t count) { by_code[code] += count; });
  }
  out.metric("realtime_channel_global_error", MetricType::kCounter,
             "Errors of sockets and channels, by operational code.");
  for (const auto& [code, count] : by_code) out.sample(static_cast<std::int64_t>(count), {{"code", code}});
}

void write_drops(Exposition& out, const Writer& writer) {
  using realtime::ShardCounters;
  out.metric("realtime_dropped_total", MetricType::kCounter, "What was dropped, by reason.");
  out.sample(writer.sum(&net::WorkerCounters::frames_dropped) + writer.sum(&ShardCounters::long_poll_frames_dropped),
             {{"reason", "slow_consumer"}});
  out.sample(writer.sum(&ShardCounters::dropped_size), {{"reason", "size"}});
  out.sample(writer.sum(&ShardCounters::dropped_frame_limit), {{"reason", "frame_limit"}});
  out.sample(writer.sum(&ShardCounters::dropped_text_only), {{"reason", "text_only"}});
  out.sample(writer.sum(&ShardCounters::long_poll_frames_unfetched), {{"reason", "unfetched"}});
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
  out.metric("realtime_long_polls_abandoned_total", MetricType::kCounter,
             "Polls whose client ended its connection before the answer.");
  out.sample(writer.sum(&ShardCounters::long_polls_forgotten));
}

void write_rest(Exposition& out, const NodeParts& node, const Writer& writer) {
  out.metric("realtime_rest_waiting_bytes", MetricType::kGauge,
             "Private messages of REST requests that wait for the databases of tenants.");
  out.sample(node.shards.empty() ? 0 : static_cast<std::int64_t>(node.shards.front()->node().rest_waiting->used()));
  out.metric("realtime_rest_requests_refused_total", MetricType::kCounter,
             "REST requests refused because too many private messages waited, of the tenant or of all.");
  out.sample(writer.sum(&realtime::ShardCounters::rest_refused_tenant_full), {{"reason", "tenant_waiting"}});
  out.sample(writer.sum(&realtime::ShardCounters::rest_refused_node_full), {{"reason", "node_waiting"}});
}

void write_rate_limits(Exposition& out, const Writer& writer) {
  using realtime::ShardCounters;
  out.metric("realtime_rate_limit_triggers_total", MetricType::kCounter,
             "How often a tenant reached one of its rates, by rate.");
  out.sample(writer.sum(&ShardCounters::join_limit_triggers), {{"rate", "joins"}});
  out.sample(writer.sum(&ShardCounters::event_limit_triggers), {{"rate", "events"}});
  out.sample(writer.sum(&ShardCounters::presence_limit_triggers), {{"rate", "presence_events"}});
  out.sample(writer.sum(&ShardCounters::change_limit_triggers), {{"rate", "db_events"}});
  out.sample(writer.sum(&ShardCounters::request_limit_triggers), {{"rate", "requests"}});
  out.metric("realtime_tenants_over_rate", MetricType::kGauge, "Tenants above one of their rates now, by rate.");
  out.sample(writer.sum(&ShardCounters::tenants_over_join_rate), {{"rate", "joins"}});
  out.sample(writer.sum(&ShardCounters::tenants_over_event_rate), {{"rate", "events"}});
  out.sample(writer.sum(&ShardCounters::tenants_over_presence_rate), {{"rate", "presence_events"}});
  out.sample(writer.sum(&ShardCounters::tenants_over_change_rate), {{"rate", "db_events"}});
  out.sample(writer.sum(&ShardCounters::tenants_over_request_rate), {{"rate", "requests"}});
  out.metric("realtime_channels_over_event_rate_total", MetricType::kCounter,
             "Channels closed because their tenant had too many messages.");
  out.sample(writer.sum(&ShardCounters::channels_over_event_rate));
}

void write_replays(Exposition& out, Writer& writer) {
  using realtime::ShardCounters;
  out.metric(
      "realtime_replays_total", MetricType::kCounter,
      "Joins that asked for stored messages, by how that ended; those whose parameters were wrong do not count.");
  out.sample(writer.sum(&ShardCounters::replays), {{"result", "ok"}});
  out.sample(writer.sum(&ShardCounters::replays_failed), {{"result", "error"}});
  writer.counter("realtime_replayed_messages_total", "Stored messages told to channels that joined.",
                 &ShardCounters::replayed_messages);
  writer.counter("realtime_replay_messages_left_out_total",
                 "Stored messages not told because those of one join were too large together.",
                 &ShardCounters::replay_messages_left_out);
}

void write_presence(Exposition& out, const NodeParts& node, Writer& writer) {
  using realtime::ShardCounters;
  out.metric("realtime_presences", MetricType::kGauge, "Entries of channels in the presence of their topics.");
  out.sample(writer.sum(&ShardCounters::presences));
  writer.counter("realtime_presence_diffs_total", "Changes of a topic's presence told to its members.",
                 &ShardCounters::presence_diffs);
  writer.counter("realtime_presence_deliveries_total", "Those changes put into the queues of members.",
                 &ShardCounters::presence_deliveries);
  writer.counter("realtime_presence_states_total", "States of presence given to channels that joined.",
                 &ShardCounters::presence_states);
  out.metric("realtime_presence_channels_closed_total", MetricType::kCounter,
             "Channels closed for what they tracked or how often, by reason.");
  using End = channels::ChannelHost::PresenceEnd;
  for (const auto& [why, name] : {std::pair(End::kClientRate, "client_rate"),
                                  {End::kTenantRate, "tenant_rate"},
                                  {End::kSize, "size"},
                                  {End::kFull, "topic_full"}}) {
    std::int64_t count = 0;
    for (const realtime::Shard* shard : node.shards)
      count += number(shard->counters().presence_ends[static_cast<std::size_t>(why)]);
    out.sample(count, {{"reason", name}});
  }
}

void write_log_drops(Exposition& out, const NodeParts& node, const Writer& writer) {
  out.metric("realtime_log_lines_dropped_total", MetricType::kCounter, "Log lines not written, by reason.");
  out.sample(static_cast<std::int64_t>(node.log->dropped()), {{"reason", "queue"}});
  out.sample(writer.sum(&realtime::ShardCounters::log_lines_suppressed), {{"reason", "repeated"}});
}

void write_pushes(Exposition& out, const PushCounters& pushes) {
  out.metric("realtime_metrics_pushes_total", MetricType::kCounter, "Pushes of metrics to their receiver.");
  for (std::size_t part = 0; part < kPushParts; ++part) {
    out.sample(number(pushes.taken[part]), {{"part", kPushPartNames[part]}, {"result", "ok"}});
    out.sample(number(pushes.failed[part]), {{"part", kPushPartNames[part]}, {"result", "error"}});
  }
}

void write_vacancy_sweeps(Exposition& out, const Counter& sweeps) {
  out.metric("realtime_metrics_cleanings_total", MetricType::kCounter,
             "How often tenants without users were looked for, to forget their metrics.");
  out.sample(number(sweeps));
}

void write_workers(Exposition& out, const NodeParts& node, Writer& writer) {
  const auto of_worker = [&](Counter net::WorkerCounters::* counter) {
    return [&node, counter](std::size_t i) { return number(node.workers[i]->counters().*counter); };
  };
  const auto of_shard = [&](Counter realtime::ShardCounters::* counter) {
    return [&node, counter](std::size_t i) { return number(node.shards[i]->counters().*counter); };
  };
  writer.each_worker("realtime_worker_connections", MetricType::kGauge, "Open connections of a worker.",
                     [&](std::size_t i) { return node.workers[i]->connections(); });
  writer.each_worker("realtime_worker_sessions", MetricType::kGauge, "Open WebSocket sessions of a worker.",
                     of_shard(&realtime::ShardCounters::sessions));
  writer.each_worker("realtime_worker_channels", MetricType::kGauge, "Joined channels of a worker.",
                     of_shard(&realtime::ShardCounters::channels));
  writer.each_worker("realtime_worker_topics", MetricType::kGauge, "Topics with subscribers on a worker.",
                     of_shard(&realtime::ShardCounters::topics));
  writer.each_worker("realtime_worker_send_queue_bytes", MetricType::kGauge,
                     "Bytes that wait to be sent; a frame that many wait for counts for each.",
                     of_worker(&net::WorkerCounters::send_queue_bytes));
  writer.each_worker("realtime_worker_receive_bytes", MetricType::kGauge, "Bytes of input that is not complete.",
                     of_worker(&net::WorkerCounters::receive_bytes));
  writer.each_worker("realtime_worker_mailbox_bytes", MetricType::kGauge, "Bytes that other threads sent a worker.",
                     [&](std::size_t i) { return static_cast<std::int64_t>(node.workers[i]->mailbox_bytes()); });
  out.metric("realtime_worker_turn_microseconds", MetricType::kHistogram,
             "How long a turn of a worker's loop took; what becomes ready meanwhile waits for its end.");
  for (std::size_t i = 0; i < node.workers.size(); ++i) {
    HistogramCounts counts;
    node.workers[i]->counters().turns.add_to(counts);
    out.histogram(counts, 1, {{"worker", std::to_string(i)}});
  }
}

void write_databases(Exposition& out, const database::TenantDatabases& databases) {
  const database::DatabaseCounters& counters = databases.counters();
  const auto counter = [&](std::string_view name, std::string_view help, const Counter& value) {
    out.metric(name, MetricType::kCounter, help);
    out.sample(number(value));
  };
  out.metric("realtime_tenants_connected", MetricType::kGauge, "Databases of tenants that are connected.");
  out.sample(number(counters.connected));
  counter("realtime_tenant_databases_opened_total", "Connections to tenants' databases.", counters.opened);
  counter("realtime_tenant_database_failures_total", "Attempts to connect to a tenant's database that failed.",
          counters.failures);
  counter("realtime_tenant_databases_lost_total", "Connections to tenants' databases that broke.", counters.lost);
  counter("realtime_tenant_database_refusals_total",
          "Questions refused because a database could not be reached lately, or too many waited for it.",
          counters.refused);
  counter("realtime_partition_failures_total", "Partitions of realtime.messages that could not be made.",
          counters.partition_failures);
  const database::PolicyCounters& policies = counters.policies;
  counter("realtime_policy_questions_total", "Questions about the rights of private channels and broadcasts.",
          policies.questions);
  counter("realtime_policy_questions_shared_total", "Of these, questions answered with the answer to an equal one.",
          policies.shared);
  counter("realtime_policy_transactions_total", "Transactions in which policies were asked.", policies.transactions);
  counter("realtime_policy_questions_by_expression_total", "Questions answered without writing.",
          policies.by_expressions);
  counter("realtime_policy_questions_repeated_total", "Questions asked once more by themselves.", policies.again_alone);
  counter("realtime_policy_questions_given_up_total", "Questions that waited for a connection in vain.",
          policies.given_up);
  counter("realtime_policy_questions_refused_total",
          "Questions refused because too many waited, or waited in vain lately.", policies.refused);
  const database::MessageFeedCounters& messages = counters.messages;
  out.metric("realtime_message_streams", MetricType::kGauge,
             "Databases whose messages are broadcast as they are committed.");
  out.sample(number(messages.streaming));
  out.metric("realtime_message_streams_polled", MetricType::kGauge,
             "Of these, those that had no WAL sender left and are asked every 100 ms.");
  out.sample(number(messages.polling));
  counter("realtime_message_streams_started_total", "Streams of messages that began.", messages.started);
  counter("realtime_message_streams_lost_total", "Streams of messages that ended.", messages.lost);
  counter("realtime_messages_from_databases_total", "Rows of realtime.messages that were broadcast.",
          messages.published);
  counter("realtime_messages_recovered_total", "Of these, rows read from the table because no stream told them.",
          messages.recovered);
  counter("realtime_messages_skipped_total", "Rows of realtime.messages that could not be broadcast; the log has why.",
          messages.skipped);
  const database::ChangeFeedCounters& changes = counters.changes;
  out.metric("realtime_change_streams", MetricType::kGauge,
             "Databases whose row changes are read as they are committed.");
  out.sample(number(changes.streams.streaming));
  out.metric("realtime_change_streams_polled", MetricType::kGauge,
             "Of these, those that had no WAL sender left and are asked again and again.");
  out.sample(number(changes.streams.polling));
  counter("realtime_change_streams_started_total", "Streams of row changes that began.", changes.streams.started);
  counter("realtime_change_streams_lost_total", "Streams of row changes that ended.", changes.streams.lost);
  out.metric("realtime_change_subscriptions", MetricType::kGauge, "Subscriptions to row changes that are served.");
  out.sample(number(changes.subscriptions));
  counter("realtime_change_subscriptions_refused_total", "Channels whose subscriptions were not accepted.",
          changes.refused);
  counter("realtime_change_subscriptions_timed_out_total",
          "Channels whose subscriptions waited in vain, and wait again.", changes.timed_out);
  counter("realtime_changes_told_total", "Changed rows of which somebody was told.", changes.told);
  counter("realtime_changes_skipped_total", "Changed rows left out because the tenant was over its rate.",
          changes.skipped_for_rate);
  counter("realtime_change_visibility_questions_total",
          "Questions who may see changed rows: one for each table, role and claims of a batch.",
          changes.visibility_questions);
  counter("realtime_change_visibility_errors_total", "Of these, questions that a role or a policy failed.",
          changes.visibility_errors);
  counter("realtime_change_filter_questions_total", "Conditions of filters that only the database could decide.",
          changes.filter_questions);
  counter("realtime_replay_questions_given_up_total",
          "Questions for stored messages that waited in vain behind those about rights.", counters.replays.given_up);
  counter("realtime_replay_questions_refused_total", "Questions for stored messages refused because too many waited.",
          counters.replays.refused);
  out.metric("realtime_tenants_migrations_duration_milliseconds", MetricType::kHistogram,
             "Migrations of tenants' databases in which something had to be done.");
  std::vector<std::pair<std::string, std::uint64_t>> failed;
  databases.visit_migrations(
      [&](std::string_view region, const HistogramCounts& counts) {
        out.histogram(counts, 1, {{"platform_region", region}});
      },
      [&](std::string_view error, std::uint64_t times) { failed.emplace_back(error, times); });
  out.metric("realtime_tenants_migrations_exceptions_total", MetricType::kCounter,
             "Migrations of tenants' databases that failed, by condition.");
  for (const auto& [error, times] : failed) out.sample(static_cast<std::int64_t>(times), {{"error_code", error}});
}

}  // namespace

std::string node_id(std::string_view node_name) {
  const std::string_view address = node_name.substr(node_name.find('@') + 1);
  if (address == "127.0.0.1") return std::string(node_name);
  std::vector<std::string_view> groups;
  for (std::size_t begin = 0; begin <= address.size();) {
    const std::size_t end = std::min(address.find(':', begin), address.size());
    groups.push_back(address.substr(begin, end - begin));
    begin = end + 1;
  }
  if (groups.size() != 8) return std::string(address);
  return std::string(groups[5]).append(groups[6]);
}

std::vector<std::pair<std::string, std::string>> node_labels(const NodeParts& node) {
  return {{"host", node.node_name.substr(node.node_name.find('@') + 1)},
          {"id", node_id(node.node_name)},
          {"region", node.region.empty() ? "nil" : node.region}};
}

std::string scrape_node(const NodeParts& node) {
  using net::WorkerCounters;
  using realtime::ShardCounters;
  Exposition out(node_labels(node));
  Writer writer(out, node);
  out.metric("realtime_build_info", MetricType::kGauge, "1; the label is the version that runs.");
  out.sample(1, {{"version", RT_VERSION}});
  write_connections(out, node);
  write_tls(out, node, writer);
  writer.counter_once_seen("realtime_channel_global_input_bytes", "Bytes read from WebSockets.",
                           &WorkerCounters::sockets, &net::Traffic::in);
  writer.counter_once_seen("realtime_channel_global_output_bytes", "Bytes written to WebSockets.",
                           &WorkerCounters::sockets, &net::Traffic::out);
  writer.counter("realtime_http_input_bytes_total", "Bytes read from connections that were no WebSocket yet.",
                 &WorkerCounters::others, &net::Traffic::in);
  writer.counter("realtime_http_output_bytes_total", "Bytes written to them.", &WorkerCounters::others,
                 &net::Traffic::out);
  writer.counter_once_seen("realtime_channel_global_events",
                           "Broadcasts taken from clients and each of their deliveries.", &ShardCounters::events);
  writer.counter_once_seen("realtime_channel_global_presence_events",
                           "States and changes of presence, and each delivery of those.",
                           &ShardCounters::presence_events);
  writer.counter_once_seen("realtime_channel_global_db_events",
                           "Row changes told to channels, once for each subscription that they matched.",
                           &ShardCounters::change_events);
  writer.counter_once_seen("realtime_channel_global_joins", "Joins.", &ShardCounters::joins);
  write_joins(out, writer);
  write_handling(out, writer);
  write_payloads(out, writer);
  write_errors(out, node);
  std::int64_t users = 0;
  for (const auto& tenant : node.tenants->all()) users += tenant->users();
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
  writer.counter("realtime_published_total", "Broadcasts accepted from clients, REST and databases.",
                 &ShardCounters::published);
  writer.counter("realtime_deliveries_total", "Broadcasts put into the queues of subscribers.",
                 &ShardCounters::deliveries);
  writer.counter("realtime_change_deliveries_total", "Messages about row changes put into the queues of channels.",
                 &ShardCounters::change_deliveries);
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
  write_rest(out, node, writer);
  write_rate_limits(out, writer);
  write_replays(out, writer);
  write_presence(out, node, writer);
  write_databases(out, *node.databases);
  write_log_drops(out, node, writer);
  if (node.pushes != nullptr) write_pushes(out, *node.pushes);
  if (node.vacancy_sweeps != nullptr) write_vacancy_sweeps(out, *node.vacancy_sweeps);
  write_workers(out, node, writer);
  ops::write_process_metrics(out, node.started_at);
  return std::move(out).finish();
}

std::string scrape(const NodeParts& node) { return scrape_tenants(node, scrape_node(node)); }

}  // namespace rt::app
