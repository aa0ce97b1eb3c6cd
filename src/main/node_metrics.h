// What a node tells of itself, as one scrape: the counters of its workers and shards, then those of its tenants.
#pragma once

#include <functional>
#include <string>

#include "base/log.h"
#include "io/net/listener.h"
#include "io/net/worker.h"
#include "main/tls_port.h"
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
  const Log* log = nullptr;
  std::function<bool()> store_is_usable;
};

// Thread-safe: it reads counters only.
std::string scrape(const NodeParts& node);

}  // namespace rt::app
