// What the shards of a node share: read by all, changed by main only.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/siphash.h"
#include "domain/auth/jwt.h"
#include "domain/channels/channel_host.h"
#include "domain/presence/home.h"
#include "model/changes.h"
#include "model/replay.h"
#include "model/replica.h"
#include "model/rights_question.h"
#include "services/realtime/interest_table.h"
#include "services/realtime/live_tenants.h"

namespace rt::realtime {

class Shard;

// Asks the database of a tenant. `answer` is called once, on any thread. Thread-safe.
using AnswerRights = std::function<void(RightsAnswer)>;
using RightsSource = std::function<void(std::string_view tenant, RightsQuestion question, AnswerRights answer)>;
// Likewise.
using ReplaySource = std::function<void(std::string_view tenant, ReplayQuestion question, AnswerReplay answer)>;

// Where the row changes of tenants come from: what subscriptions lead to is told by tell_changes() and
// publish_changes(). Thread-safe; what one thread says of a channel takes effect in this order.
struct ChangeSource {
  std::function<void(std::string_view tenant, ChangesQuestion question)> subscribe;
  std::function<void(std::string_view tenant, ChangesId id)> unsubscribe;
};

struct LongPollConfig {
  std::chrono::milliseconds window{10'000};  // how long a poll waits; a session not polled for half as long again ends
  std::int64_t sessions_max = 16'384;        // of the node: they cost memory without a socket that would be counted
  std::size_t queue_bytes_max = 16 * 1024 * 1024;  // what may wait for one client, and for all of a worker
  std::size_t all_queues_bytes_max = std::size_t{1} << 30;
  std::size_t posted_bytes_max = std::size_t{1} << 29;  // of a worker: what was posted and waits to be worked off
};

struct NodeConfig {
  channels::ChannelRules channels;
  std::optional<ws::DeflateSettings> compression;  // nullopt: no client gets it
  std::chrono::milliseconds connect_error_backoff{2'000};
  std::chrono::milliseconds no_channel_timeout{600'000};  // how often sockets without a channel are looked for
  std::vector<auth::ClaimValidator> claim_validators;
  LongPollConfig long_poll;
  ReplicaId replica;  // this life of the node
  presence::HomeConfig presence;
  // While more waits to be sent by a worker or polled for there, or is on its way to it, no states are given to those
  // who join there.
  std::size_t presence_queue_bytes_max = std::size_t{1} << 28;
  bool logs_usage = false;  // what tenants do, for who bills them
};

struct Node {
  Node(NodeConfig settings, HashKey key, LiveTenants& live_tenants, Log& node_log, Random& secrets)
      : config(std::move(settings)), hash_key(key), tenants(live_tenants), log(node_log), random(secrets) {}

  const NodeConfig config;
  const HashKey hash_key;
  LiveTenants& tenants;
  Log& log;
  Random& random;
  // Set before the workers run.
  RightsSource ask_rights;  // empty: no tenant has a database
  ReplaySource ask_replay;  // likewise
  ChangeSource changes;     // likewise
  // Rows of the tenant's database become broadcasts now. Thread-safe, and asked often; empty: of no tenant.
  std::function<bool(std::string_view tenant)> is_streaming;
  // A tenant has a user, who may be told messages of its database. Thread-safe; empty: no tenant has a
  // database.
  std::function<void(std::string_view tenant)> want_database;
  InterestTable interest;
  static constexpr std::size_t kRestWaitingBytesMax = std::size_t{256} << 20;
  // As LiveTenant has it, of all tenants. Shared with requests, which may be answered when this is gone.
  const std::shared_ptr<ByteBudget> rest_waiting = std::make_shared<ByteBudget>(kRestWaitingBytesMax);
  std::atomic<bool> draining{false};
  std::atomic<std::int64_t> long_polls{0};  // sessions of that kind, of all tenants
  std::vector<Shard*> shards;               // by worker index; complete before the workers run
};

}  // namespace rt::realtime
