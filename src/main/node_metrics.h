// What a node tells of itself, as one scrape: the counters of its workers and shards, then those of its tenants.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "io/net/listener.h"
#include "io/net/worker.h"
#include "main/metrics_pusher.h"
#include "main/tls_port.h"
#include "services/database/tenant_databases.h"
#include "services/realtime/shard.h"

namespace rt::app {

struct NodeParts {
  std::vector<const net::Worker*> workers;
  std::vector<const realtime::Shard*> shards;  // by worker
  realtime::LiveTenants* tenants = nullptr;
  const net::Listener* listener = nullptr;
  const TlsPort* tls_port = nullptr;  // null: there is none
  std::int64_t connections_max = 0;
  std::string node_name;  // `realtime@127.0.0.1`
  std::string region;     // empty: `nil`
  double started_at = 0;  // seconds since 1970
  const Log* log = nullptr;
  const database::TenantDatabases* databases = nullptr;
  std::function<bool()> store_is_usable;
  const PushCounters* pushes = nullptr;     // null: nothing is pushed
  const Counter* vacancy_sweeps = nullptr;  // null: nobody looks for tenants without users
};

// All of these are thread-safe: they read counters only. Each text has its end marker.
std::string scrape_node(const NodeParts& node);
std::string scrape_tenants(const NodeParts& node, std::string before = {});  // behind `before`
std::string scrape(const NodeParts& node);

// The short name of a node: of its address, which is behind the `@`, groups 6 and 7 where it is a full IPv6 address;
// the whole name where the address is 127.0.0.1.
std::string node_id(std::string_view node_name);
// On every series of a node: host, id and region.
std::vector<std::pair<std::string, std::string>> node_labels(const NodeParts& node);

}  // namespace rt::app
