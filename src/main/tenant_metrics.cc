// The part of a scrape that is about tenants: of each metric one series for each tenant of which there is anything to
// say.

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "main/node_metrics.h"
#include "services/ops/exposition.h"

namespace rt::app {
namespace {

using ops::Exposition;
using ops::MetricType;
using realtime::LiveTenant;
using realtime::TenantUsage;

class Writer {
 public:
  Writer(Exposition& out, std::vector<std::shared_ptr<const LiveTenant>> tenants)
      : out_(out), tenants_(std::move(tenants)) {
    std::ranges::sort(tenants_, {}, [](const auto& tenant) -> const std::string& { return tenant->external_id; });
  }

  void gauge(std::string_view name, std::string_view help,
             const std::function<std::optional<std::int64_t>(const LiveTenant&)>& value_of) {
    out_.metric(name, MetricType::kGauge, help);
    for (const auto& tenant : tenants_) {
      if (const auto value = value_of(*tenant)) out_.sample(*value, {{"tenant", tenant->external_id}});
    }
  }
  void counter(std::string_view name, std::string_view help,
               const std::function<std::uint64_t(const LiveTenant&)>& value_of) {
    out_.metric(name, MetricType::kCounter, help);
    for (const auto& tenant : tenants_) {
      const std::uint64_t value = value_of(*tenant);
      if (value > 0) out_.sample(static_cast<std::int64_t>(value), {{"tenant", tenant->external_id}});
    }
  }
  void counter(std::string_view name, std::string_view help, realtime::RateMeter LiveTenant::* meter) {
    counter(name, help, [meter](const LiveTenant& tenant) { return (tenant.*meter).total(); });
  }
  void traffic(std::string_view name, std::string_view help, Counter net::Traffic::* direction) {
    counter(name, help, [direction](const LiveTenant& tenant) {
      std::uint64_t bytes = 0;
      tenant.for_each_usage([&](const TenantUsage& usage) { bytes += (usage.traffic.*direction).value(); });
      return bytes;
    });
  }
  void errors(std::string_view name, std::string_view help) {
    out_.metric(name, MetricType::kCounter, help);
    for (const auto& tenant : tenants_) {
      std::map<std::string_view, std::uint64_t> by_code;
      tenant->for_each_usage([&](const TenantUsage& usage) {
        usage.errors.for_each([&](std::string_view code, std::uint64_t count) { by_code[code] += count; });
      });
      for (const auto& [code, count] : by_code)
        out_.sample(static_cast<std::int64_t>(count), {{"code", code}, {"tenant", tenant->external_id}});
    }
  }
  void payload_sizes(std::string_view name, std::string_view help) {
    out_.metric(name, MetricType::kHistogram, help);
    for (const auto& tenant : tenants_) {
      payload_sizes_of(*tenant, "broadcast", &TenantUsage::broadcasts);
      payload_sizes_of(*tenant, "presence", &TenantUsage::tracks);
      payload_sizes_of(*tenant, "postgres_changes", &TenantUsage::changes);
    }
  }

 private:
  void payload_sizes_of(const LiveTenant& tenant, std::string_view type, realtime::PayloadSizes TenantUsage::* sizes) {
    HistogramCounts counts;
    tenant.for_each_usage([&](const TenantUsage& usage) { (usage.*sizes).add_to(counts); });
    if (counts.total() > 0) out_.histogram(counts, 1, {{"message_type", type}, {"tenant", tenant.external_id}});
  }

  Exposition& out_;
  std::vector<std::shared_ptr<const LiveTenant>> tenants_;
};

constexpr std::size_t kBytesPerTenant = 3 * 1024;  // where it has series of every kind

// Of row changes, once there was a stream of them.
void write_changes(Exposition& out, const std::vector<database::TenantDatabases::Meter>& meters) {
  const auto each = [&](std::string_view metric, MetricType type, std::string_view help, auto&& sample) {
    out.metric(metric, type, help);
    for (const auto& [name, state] : meters) sample(name, state->changes);
  };
  const auto counter = [&](std::string_view metric, std::string_view help, Counter database::ChangeMeters::* which,
                           std::string_view reason) {
    each(metric, MetricType::kCounter, help, [&](const std::string& name, const database::ChangeMeters& meters_of_one) {
      const auto value = static_cast<std::int64_t>((meters_of_one.*which).value());
      if (value == 0) return;
      reason.empty() ? out.sample(value, {{"tenant", name}})
                     : out.sample(value, {{"tenant", name}, {"reason", reason}});
    });
  };
  each("realtime_replication_poller_query_duration", MetricType::kHistogram,
       "Milliseconds that a batch of changed rows took, from the database's log to the workers.",
       [&](const std::string& name, const database::ChangeMeters& meters_of_one) {
         HistogramCounts counts;
         meters_of_one.batches.add_to(counts);
         if (counts.total() > 0) out.histogram(counts, 1, {{"tenant", name}});
       });
  counter("realtime_replication_poller_changes_dispatch", "Changed rows of which somebody was told.",
          &database::ChangeMeters::told, "");
  counter("realtime_replication_poller_changes_skip", "Changed rows that nobody was told of, by reason.",
          &database::ChangeMeters::skipped_for_rate, "rate_limited");
  counter("realtime_replication_poller_stop_total",
          "Streams of row changes that ended because nobody had a use for them.", &database::ChangeMeters::stopped,
          "normal");
  counter("realtime_replication_poller_prepare_exception_total",
          "Replication slots of row changes that could not be made.", &database::ChangeMeters::failed_preparations, "");
  counter("realtime_replication_poller_query_exception_total", "Streams of row changes that broke.",
          &database::ChangeMeters::failed_streams, "other");
  each("realtime_subscriptions_manager_subscribers", MetricType::kGauge,
       "Subscriptions to row changes that are served.",
       [&](const std::string& name, const database::ChangeMeters& meters_of_one) {
         out.sample(static_cast<std::int64_t>(meters_of_one.subscriptions.value()), {{"tenant", name}});
       });
}

// Of tenants whose database was asked for here.
void write_databases(Exposition& out, const database::TenantDatabases& databases) {
  auto meters = databases.meters();
  std::ranges::sort(meters, {}, &database::TenantDatabases::Meter::external_id);
  const auto times = [&](std::string_view metric, std::string_view help, auto database::CheckTimes::* kind) {
    out.metric(metric, MetricType::kHistogram, help);
    for (const auto& [name, state] : meters) {
      HistogramCounts counts;
      (state->checks.*kind).add_to(counts);
      if (counts.total() > 0) out.histogram(counts, 1, {{"tenant", name}});
    }
  };
  times("realtime_tenants_read_authorization_check",
        "Milliseconds from asking the policies of a tenant who may read to their answer.",
        &database::CheckTimes::reading);
  times("realtime_tenants_write_authorization_check", "The same of who may only write.",
        &database::CheckTimes::writing);
  const auto latency = [&](std::string_view metric, std::string_view help, auto database::MessageTimes::* since) {
    out.metric(metric, MetricType::kHistogram, help);
    for (const auto& [name, state] : meters) {
      HistogramCounts counts;
      (state->messages.*since).add_to(counts);
      if (counts.total() > 0) out.histogram(counts, 1, {{"tenant", name}});
    }
  };
  latency("realtime_tenants_broadcast_from_database_latency_committed_at",
          "Milliseconds from the commit of a message in a database to its broadcast.",
          &database::MessageTimes::since_commit);
  latency("realtime_tenants_broadcast_from_database_latency_inserted_at", "The same from the time in its row.",
          &database::MessageTimes::since_insert);
  out.metric("realtime_tenant_messages_streaming", MetricType::kGauge,
             "1 while the messages in the database of a tenant are broadcast as they are committed.");
  for (const auto& [name, state] : meters) out.sample(state->is_streaming ? 1 : 0, {{"tenant", name}});
  out.metric("realtime_tenants_replay", MetricType::kHistogram,
             "Milliseconds from asking for the stored messages of a topic to having them.");
  for (const auto& [name, state] : meters) {
    HistogramCounts counts;
    state->replays.add_to(counts);
    if (counts.total() > 0) out.histogram(counts, 1, {{"tenant", name}});
  }
  write_changes(out, meters);
  out.metric("realtime_tenant_database_connected", MetricType::kGauge,
             "1 while the database of a tenant is connected.");
  for (const auto& [name, state] : meters) out.sample(state->is_connected ? 1 : 0, {{"tenant", name}});
  out.metric("realtime_tenant_message_partitions_ahead_days", MetricType::kGauge,
             "Days after today for which realtime.messages has partitions, when last looked at; below 3 something "
             "keeps them from being made.");
  for (const auto& [name, state] : meters) {
    if (state->is_connected) out.sample(state->partition_days_ahead, {{"tenant", name}});
  }
}

std::optional<std::int64_t> connected(const LiveTenant& tenant) {
  const std::int64_t users = tenant.users();
  return users == 0 && tenant.joins.total() == 0 ? std::nullopt : std::optional(users);
}

}  // namespace

std::string scrape_tenants(const NodeParts& node, std::string before) {
  Exposition out(node_labels(node), std::move(before));
  auto tenants = node.tenants->all();
  out.expect(tenants.size() * kBytesPerTenant);
  Writer writer(out, std::move(tenants));
  writer.gauge("realtime_connections_connected", "Sockets that have joined a channel.", connected);
  writer.gauge("realtime_connections_connected_cluster", "The same on all nodes.", connected);
  writer.counter("realtime_channel_events", "Broadcasts taken from clients and each of their deliveries.",
                 &LiveTenant::events);
  writer.counter("realtime_channel_presence_events", "States and changes of presence, and each delivery of those.",
                 &LiveTenant::presence);
  writer.counter("realtime_channel_db_events",
                 "Row changes told to channels, once for each subscription that they matched.", &LiveTenant::changes);
  writer.counter("realtime_channel_joins", "Joins.", &LiveTenant::joins);
  writer.traffic("realtime_channel_input_bytes", "Bytes read from WebSockets.", &net::Traffic::in);
  writer.traffic("realtime_channel_output_bytes", "Bytes written to WebSockets.", &net::Traffic::out);
  writer.errors("realtime_channel_error", "Errors of sockets and channels, by operational code.");
  writer.payload_sizes("realtime_tenants_payload_size", "Bytes of a payload, as its limit measures them.");
  write_databases(out, *node.databases);
  return std::move(out).finish();
}

}  // namespace rt::app
