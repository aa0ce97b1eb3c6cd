// How the nodes keep their presence alike: who says what to whom, and when. Messages in, messages out; no I/O.
//
// What happens here is pushed to all peers as a delta. Now and then everybody broadcasts a digest: how far it knows
// each replica. Who sees by a digest, or by a delta that came too early, that something is missing, waits a moment, for
// it is most likely on its way, and then pulls it: from the nearest peer that has it all, chunk after chunk, each asked
// for when the last one has arrived. So the one who asks decides how much is under way, the one who answers keeps no
// state, and when one falls silent the next can go on where it ended. A node that joins pulls everything in the same
// way.
//
// Only replicas that membership says are up are listened to and pulled (`state.h` says why); one that is down is hidden
// and after `forget_after` forgotten. Without peers there are no messages, and nothing is kept for any.
//
// Bounds: a message is about `message_bytes_max` long, `pulls_max` chunks are under way, a cloud has `cloud_ranges_max`
// ranges, a digest `replicas_max` replicas. What exceeds a bound, or cannot be true, is dropped and counted; what it
// would have told is pulled later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/awake_time.h"
#include "domain/presence/state.h"

namespace rt::presence {

struct ReplicationConfig {
  std::uint32_t shard = 0;
  // Bus messages carry 512 KiB; the rest is for what surrounds the entries.
  std::size_t message_bytes_max = 480 * 1024;
  Duration digest_period = std::chrono::milliseconds(1500);
  // A gap is given so long to close by itself.
  Duration gap_grace = std::chrono::milliseconds(300);
  Duration pull_timeout = std::chrono::seconds(2);
  std::size_t pulls_max = 4;
  Duration forget_after = std::chrono::minutes(20);
  std::size_t cloud_ranges_max = 4096;
  std::size_t replicas_max = 1024;
};

struct ReplicationCounters {
  std::uint64_t deltas_merged = 0;
  std::uint64_t chunks_merged = 0;
  std::uint64_t pulls_answered = 0;
  std::uint64_t pulls_timed_out = 0;
  // Dropped:
  std::uint64_t foreign = 0;       // from or for somebody else, our own echo, another shard
  std::uint64_t strange = 0;       // from a replica that is not up
  std::uint64_t inconsistent = 0;  // cannot be true
  std::uint64_t unexpected = 0;    // a chunk that nobody waits for: late or repeated
  std::uint64_t over_limit = 0;
  std::uint64_t unanswerable = 0;  // pulls of what we do not have
};

struct OutgoingPresence {
  std::optional<ReplicaId> receiver;  // nullopt: all peers
  PresenceMessage message;
};

class Replication {
 public:
  using Tracked = PresenceState::Tracked;

  Replication(const ReplicationConfig& config, ReplicaId self, Time now);

  // --- our own clients; peers hear of it with the next flush()
  Tracked join(std::string_view topic, std::string_view key, PresencePayload payload);
  Tracked update(std::uint64_t clock, PresencePayload payload);
  PresenceDiff leave(std::uint64_t clock);

  // --- membership
  // A smaller distance is nearer.
  PresenceDiff peer_up(ReplicaId peer, unsigned distance);
  PresenceDiff peer_down(ReplicaId peer);
  // Down permanently: its node lives on under another incarnation.
  PresenceDiff peer_replaced(ReplicaId peer);

  // --- messages and time
  PresenceDiff receive(const PresenceMessage& message);
  // To be called several times in each digest_period and gap_grace. Nobody has to be told of the forgotten: they were
  // hidden already.
  void tick(Time now);
  // Makes deltas of what happened here since the last one.
  void flush();
  std::vector<OutgoingPresence> take_outgoing();

  const PresenceState& state() const { return state_; }
  const ReplicationCounters& counters() const { return counters_; }

 private:
  struct Peer {
    unsigned distance = 0;
    std::map<ReplicaId, std::uint64_t> versions;  // by its last digest
  };
  struct Pull {
    std::uint64_t id = 0;
    ReplicaId peer;
    std::uint64_t known = 0;
    std::uint64_t after = 0;
    std::uint64_t top = 0;
    Time deadline;
    std::set<ReplicaId> tried;
  };

  PresenceDiff receive(const PresenceDigest& digest);
  PresenceDiff receive(const PresenceDelta& delta);
  PresenceDiff receive(const PresencePull& pull);
  PresenceDiff receive(const PresenceChunk& chunk);
  bool is_for_us(ReplicaId sender, ReplicaId receiver, std::uint32_t shard);
  bool is_from_peer(ReplicaId sender);
  void send_digest();
  void look_for_gaps();
  std::uint64_t version_wanted(ReplicaId replica) const;
  void start_pull(ReplicaId replica, std::uint64_t wanted);
  std::optional<ReplicaId> best_peer(ReplicaId replica, std::uint64_t wanted, const std::set<ReplicaId>& tried) const;
  void ask(ReplicaId replica, Pull& pull);
  void send(std::optional<ReplicaId> receiver, PresenceMessage message);

  const ReplicationConfig config_;
  const ReplicaId self_;
  AwakeTime time_;
  Time now_;
  PresenceState state_;
  ReplicationCounters counters_;
  std::uint64_t flushed_ = 0;               // our clock at the last flush
  std::vector<PresenceState::End> ends_;    // ours since then
  std::map<ReplicaId, Peer> peers_;         // those that are up
  std::map<ReplicaId, Time> down_since_;    // those that are not, and not forgotten
  std::map<ReplicaId, Time> behind_since_;  // replicas of which we lack something
  std::map<ReplicaId, Pull> pulls_;         // by the replica that is pulled
  std::uint64_t last_pull_id_ = 0;
  Time digest_due_;
  std::vector<OutgoingPresence> outgoing_;
};

}  // namespace rt::presence
