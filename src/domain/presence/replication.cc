#include "domain/presence/replication.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "domain/presence/consistency.h"

namespace rt::presence {

Replication::Replication(const ReplicationConfig& config, ReplicaId self, Time now)
    : config_(config), self_(self), time_(now, config.digest_period), now_(now), state_(self), digest_due_(now) {}

Replication::Tracked Replication::join(std::string_view topic, std::string_view key, PresencePayload payload) {
  return state_.join(topic, key, std::move(payload));
}

Replication::Tracked Replication::update(std::uint64_t clock, PresencePayload payload) {
  Tracked tracked = state_.update(clock, std::move(payload));
  if (!peers_.empty()) ends_.push_back({tracked.clock - 1, clock});
  return tracked;
}

PresenceDiff Replication::leave(std::uint64_t clock) {
  const std::uint64_t before = state_.clock();
  PresenceDiff diff = state_.leave(clock);
  if (!peers_.empty() && state_.clock() != before) ends_.push_back({state_.clock(), clock});
  return diff;
}

PresenceDiff Replication::peer_up(ReplicaId peer, unsigned distance) {
  if (peer == self_) return {};
  if (peers_.empty()) flushed_ = state_.clock();  // what was before has to be pulled
  peers_[peer].distance = distance;
  down_since_.erase(peer);
  digest_due_ = now_;
  return state_.replica_up(peer);
}

PresenceDiff Replication::peer_down(ReplicaId peer) {
  if (peers_.erase(peer) == 0) return {};
  if (peers_.empty()) ends_.clear();
  down_since_[peer] = now_;
  behind_since_.erase(peer);
  pulls_.erase(peer);
  for (auto& [replica, pull] : pulls_)
    if (pull.peer == peer) pull.deadline = now_;
  return state_.replica_down(peer);
}

PresenceDiff Replication::peer_replaced(ReplicaId peer) {
  PresenceDiff diff = peer_down(peer);
  down_since_.erase(peer);
  state_.replica_forget(peer);
  return diff;
}

PresenceDiff Replication::receive(const PresenceMessage& message) {
  return std::visit([this](const auto& kind) { return receive(kind); }, message);
}

void Replication::tick(Time now) {
  now_ = time_.advance(now);
  std::erase_if(down_since_, [this](const auto& down) {
    if (now_ - down.second < config_.forget_after) return false;
    state_.replica_forget(down.first);  // it was hidden: nobody has to be told
    return true;
  });
  if (peers_.empty()) return;
  flush();
  if (now_ >= digest_due_) send_digest();
  look_for_gaps();
}

void Replication::flush() {
  if (peers_.empty()) return;
  while (flushed_ < state_.clock()) {
    const auto ends = std::ranges::upper_bound(ends_, flushed_, {}, &PresenceState::End::clock);
    PresenceDelta delta = state_.delta(flushed_, {ends, ends_.end()}, config_.message_bytes_max);
    flushed_ = delta.to;
    send(std::nullopt, std::move(delta));
  }
  ends_.clear();
}

std::vector<OutgoingPresence> Replication::take_outgoing() { return std::exchange(outgoing_, {}); }

// --- messages

bool Replication::is_for_us(ReplicaId sender, ReplicaId receiver, std::uint32_t shard) {
  const bool is_ours = sender != self_ && receiver == self_ && shard == config_.shard;
  if (!is_ours) ++counters_.foreign;
  return is_ours;
}

bool Replication::is_from_peer(ReplicaId sender) {
  const bool is_peer = peers_.contains(sender);
  if (!is_peer) ++counters_.strange;
  return is_peer;
}

PresenceDiff Replication::receive(const PresenceDigest& digest) {
  if (!is_for_us(digest.sender, self_, digest.shard) || !is_from_peer(digest.sender)) return {};
  if (!is_consistent(digest)) {
    ++counters_.inconsistent;
    return {};
  }
  if (digest.versions.size() > config_.replicas_max) {
    ++counters_.over_limit;
    return {};
  }
  auto& versions = peers_[digest.sender].versions;
  versions.clear();
  for (const auto& version : digest.versions) versions[version.replica] = version.clock;
  return {};
}

PresenceDiff Replication::receive(const PresenceDelta& delta) {
  if (!is_for_us(delta.sender, self_, delta.shard) || !is_from_peer(delta.sender)) return {};
  if (!is_consistent(delta)) {
    ++counters_.inconsistent;
    return {};
  }
  if (state_.cloud_size_after(delta) > config_.cloud_ranges_max) {
    ++counters_.over_limit;
    return {};
  }
  ++counters_.deltas_merged;
  return state_.merge(delta);
}

// Whoever asks is answered, also one that is down for us: it hears us, or it would not ask.
PresenceDiff Replication::receive(const PresencePull& pull) {
  if (!is_for_us(pull.sender, pull.receiver, pull.shard)) return {};
  if (!is_consistent(pull)) {
    ++counters_.inconsistent;
    return {};
  }
  std::optional<PresenceChunk> chunk = state_.chunk(pull, config_.message_bytes_max);
  if (!chunk) {
    ++counters_.unanswerable;
    return {};
  }
  ++counters_.pulls_answered;
  chunk->sender = self_;
  chunk->receiver = pull.sender;
  send(pull.sender, std::move(*chunk));
  return {};
}

// Chunks are taken in their order only: an end must not be heard of before the chunk that lacks its entry.
PresenceDiff Replication::receive(const PresenceChunk& chunk) {
  if (!is_for_us(chunk.sender, chunk.receiver, chunk.shard)) return {};
  const auto found = pulls_.find(chunk.replica);
  if (found == pulls_.end() || found->second.id != chunk.id || found->second.peer != chunk.sender ||
      found->second.after != chunk.after) {
    ++counters_.unexpected;
    return {};
  }
  Pull& pull = found->second;
  const bool fits = (pull.top == 0 || pull.top == chunk.top) && (chunk.kept.empty() || chunk.kept.back() <= pull.known);
  if (!is_consistent(chunk) || !fits) {
    ++counters_.inconsistent;
    return {};
  }
  ++counters_.chunks_merged;
  PresenceDiff diff = state_.merge(chunk);
  pull.after = chunk.through;
  pull.top = chunk.top;
  if (pull.after == pull.top)
    pulls_.erase(found);
  else
    ask(chunk.replica, pull);
  return diff;
}

void Replication::send(std::optional<ReplicaId> receiver, PresenceMessage message) {
  std::visit([this](auto& kind) { kind.shard = config_.shard; }, message);
  outgoing_.push_back({receiver, std::move(message)});
}

void Replication::send_digest() {
  digest_due_ = now_ + config_.digest_period;
  PresenceDigest digest;
  digest.sender = self_;
  digest.versions = state_.versions();
  send(std::nullopt, std::move(digest));
}

// --- gaps

void Replication::look_for_gaps() {
  for (const auto& [replica, peer] : peers_) {
    const std::uint64_t wanted = version_wanted(replica);
    if (wanted <= state_.dots(replica)->prefix()) {
      behind_since_.erase(replica);
      pulls_.erase(replica);  // the gap has closed in another way
      continue;
    }
    const Time since = behind_since_.try_emplace(replica, now_).first->second;
    if (now_ - since >= config_.gap_grace) start_pull(replica, wanted);
  }
}

// As much as anybody is known to have.
std::uint64_t Replication::version_wanted(ReplicaId replica) const {
  std::uint64_t wanted = state_.dots(replica)->highest();
  for (const auto& [id, peer] : peers_) {
    const auto version = peer.versions.find(replica);
    if (version != peer.versions.end()) wanted = std::max(wanted, version->second);
  }
  return wanted;
}

void Replication::start_pull(ReplicaId replica, std::uint64_t wanted) {
  const auto running = pulls_.find(replica);
  if (running != pulls_.end()) {
    if (now_ < running->second.deadline) return;
    ++counters_.pulls_timed_out;
    running->second.tried.insert(running->second.peer);
  } else if (pulls_.size() >= config_.pulls_max) {
    return;
  }
  Pull& pull = pulls_[replica];
  wanted = std::max(wanted, pull.top);
  auto peer = best_peer(replica, wanted, pull.tried);
  if (!peer) {  // all have been tried: once more
    pull.tried.clear();
    peer = best_peer(replica, wanted, pull.tried);
  }
  pull.peer = *peer;  // if nobody else has it, the replica itself has
  pull.id = ++last_pull_id_;
  if (pull.top == 0) pull.known = state_.dots(replica)->prefix();
  ask(replica, pull);
}

std::optional<ReplicaId> Replication::best_peer(ReplicaId replica, std::uint64_t wanted,
                                                const std::set<ReplicaId>& tried) const {
  std::optional<std::tuple<unsigned, ReplicaId>> best;
  for (const auto& [id, peer] : peers_) {
    if (tried.contains(id)) continue;
    const auto version = peer.versions.find(replica);
    const bool has_it = id == replica || (version != peer.versions.end() && version->second >= wanted);
    if (has_it && (!best || std::tuple(peer.distance, id) < *best)) best = {peer.distance, id};
  }
  if (!best) return std::nullopt;
  return std::get<ReplicaId>(*best);
}

void Replication::ask(ReplicaId replica, Pull& pull) {
  pull.deadline = now_ + config_.pull_timeout;
  PresencePull message;
  message.sender = self_;
  message.receiver = pull.peer;
  message.id = pull.id;
  message.replica = replica;
  message.known = pull.known;
  message.after = pull.after;
  message.top = pull.top;
  send(pull.peer, message);
}

}  // namespace rt::presence
