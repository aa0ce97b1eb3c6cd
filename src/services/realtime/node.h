// What the shards of a node share: read by all, changed by main only.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <vector>

#include "base/log.h"
#include "base/siphash.h"
#include "domain/auth/jwt.h"
#include "domain/channels/channel_host.h"
#include "services/realtime/interest_table.h"
#include "services/realtime/live_tenants.h"

namespace rt::realtime {

class Shard;

struct NodeConfig {
  channels::ChannelRules channels;
  std::optional<ws::DeflateSettings> compression;  // nullopt: no client gets it
  std::chrono::milliseconds connect_error_backoff{2'000};
  std::chrono::milliseconds no_channel_timeout{600'000};  // how often sockets without a channel are looked for
  std::vector<auth::ClaimValidator> claim_validators;
};

struct Node {
  Node(NodeConfig settings, HashKey key, LiveTenants& live_tenants, Log& node_log)
      : config(std::move(settings)), hash_key(key), tenants(live_tenants), log(node_log) {}

  const NodeConfig config;
  const HashKey hash_key;
  LiveTenants& tenants;
  Log& log;
  InterestTable interest;
  std::atomic<bool> draining{false};
  std::vector<Shard*> shards;  // by worker index; complete before the workers run
};

}  // namespace rt::realtime
