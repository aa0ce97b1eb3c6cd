// The home of some topics' presence on a node: it keeps who is there and decides when members are told of it.
//
// Members of a topic may sit on any worker; each topic has one home, so there is one order of what happens in it, and a
// diff and a state are written once for everybody. What is said here is never ahead of what has been told: a state that
// a joiner is given is the one that all diffs so far lead to, and the next diff continues it.
//
// When a topic is quiet, what happens is told at once. After that nothing is told for `coalesce`; what happens
// meanwhile is gathered (`news.h`) and told together, and joiners wait for it. So a crowd that arrives gets a few
// diffs, and those who ask for the state at the same moment share one text.
//
// Nobody may keep the thread for long: a large state is written in slices, during which what is said about its topic
// waits; joiners are served in slices too, and only while those who send have room for it. Small states always have
// room, and now and then somebody is served although there is none: it may be others, even of another tenant, whose
// queues are full.
//
// Bounds: a topic's state is not larger than `topic_bytes_max`; who would exceed it is refused. Gathered news of more
// than kNewsBytesMax are told before their time, and a state is written in one go once kHeldBytesMax wait for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/timing_wheel.h"
#include "domain/presence/news.h"
#include "domain/presence/replication.h"
#include "model/message.h"
#include "protocol/phoenix/presence.h"

namespace rt::presence {

// Topics are spread over so many independent states, the same number on every node of a cluster.
inline constexpr std::uint32_t kShards = 64;
std::uint32_t shard_of(std::string_view topic);

// A channel as those who reach it name it.
struct Member {
  std::uint64_t channel = 0;  // unique on this node, never reused
  std::uint32_t worker = 0;
  SocketId socket = 0;
  bool takes_copy = false;  // it cannot share the text of a state with others
};

// The payload of a `presence_state`, as a fragment of a WebSocket message that is neither the first nor the last: so a
// large one is shared by receivers whose messages begin differently.
using StateFragment = std::shared_ptr<const std::string>;

// Those who reach the members; in the home's words.
class Messengers {
 public:
  virtual ~Messengers() = default;
  // To all members of the topic but those who wait for its state: the payload of a `presence_diff`.
  virtual void tell(const TopicKey& topic, std::string diff) = 0;
  // All of them are of one worker; they may be gone.
  virtual void give_state(const TopicKey& topic, const StateFragment& state, std::span<const Member> members) = 0;
  // What it tracked is not kept, for want of room. It may be gone.
  virtual void refuse(const TopicKey& topic, const Member& member) = 0;
  // Whether a worker can send more states now, behind so many bytes of them that it is about to be given.
  virtual bool has_room(std::uint32_t worker, std::size_t bytes) const = 0;
  // Home::work() is to be called in one of the next turns, once.
  virtual void call() = 0;
};

// How much of a member's send queue a state and an entry may take. Who has just joined has the state there, and behind
// it perhaps a diff with an entry of the largest kind and the one that it replaces; a tenth is left for all else.
constexpr std::size_t topic_bytes_max(std::size_t queue_bytes_max) { return queue_bytes_max / 2; }
constexpr std::size_t entry_bytes_max(std::size_t queue_bytes_max) { return queue_bytes_max / 5; }

struct HomeConfig {
  std::chrono::milliseconds coalesce{50};
  std::size_t topic_bytes_max = presence::topic_bytes_max(16 * 1024 * 1024);
};

class Home {  // used on one thread
 public:
  static constexpr std::size_t kNewsBytesMax = 256 * 1024;
  static constexpr std::size_t kHeldBytesMax = 4 * 1024 * 1024;
  // Of one slice.
  static constexpr std::size_t kMetasPerSlice = 256;
  static constexpr std::size_t kBytesPerSlice = 64 * 1024;
  static constexpr std::size_t kMembersPerSlice = 32;
  static constexpr std::size_t kSmallStateBytes = 16 * 1024;
  // Where there is no room, one joiner of a topic is served each time that so much has passed.
  static constexpr std::chrono::milliseconds kRoomWaitMax{100};

  // All but the config outlive it. `self` names this life of the node.
  Home(const HomeConfig& config, ReplicaId self, TimingWheel& wheel, const Clock& clock, Messengers& messengers);
  ~Home();
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  // `topic` as presence_topic() names it.
  void ask_state(const std::string& topic, const Member& member);
  // The entry of this channel is made, or takes the place of the last one.
  void track(const std::string& topic, const Member& member, std::string key, PresencePayload payload);
  void untrack(const std::string& topic, const Member& member);
  // Nothing is left of the channel here: no entry, no wish for the state.
  void leave(const std::string& topic, const Member& member);

  void work();

  std::size_t entries() const { return entries_.size(); }
  // Topics of which something is to be said, or was a moment ago.
  std::size_t active_topics() const { return topics_.size(); }

 private:
  struct AskState {
    Member member;
  };
  struct Track {
    Member member;
    std::string key;
    PresencePayload payload;
  };
  struct Untrack {
    Member member;
  };
  struct Leave {
    Member member;
  };
  using Said = std::variant<AskState, Track, Untrack, Leave>;
  struct Topic;

  void hear(Topic& topic, Said said);
  void act(Topic& topic, AskState& said);
  void act(Topic& topic, Track& said);
  void act(Topic& topic, Untrack& said);
  void act(Topic& topic, Leave& said);
  void end_entry(Topic& topic, const Member& member);
  Topic& topic(const std::string& name);
  Replication& shard(const Topic& topic);

  void go_on(Topic& topic);
  void on_due(Topic& topic);
  bool may_tell(const Topic& topic, Time now) const;
  void tell(Topic& topic);
  void serve(Topic& topic);
  bool may_serve(Topic& topic);
  bool serve_some(Topic& topic);
  struct Slice;
  void serve_worker(Topic& topic, std::uint32_t worker, Slice& left);
  void begin_state(Topic& topic);
  bool write_slice(Topic& topic);
  void keep_written(Topic& topic);
  void finish_state(Topic& topic);
  void call_for(Topic& topic);
  void call();

  const HomeConfig config_;
  const ReplicaId self_;
  TimingWheel& wheel_;
  const Clock& clock_;
  Messengers& messengers_;
  std::map<std::uint32_t, Replication> shards_;
  std::unordered_map<std::uint64_t, std::uint64_t> entries_;  // by channel: the clock of its entry
  // No client can choose names that make it slow.
  std::map<std::string, std::unique_ptr<Topic>, std::less<>> topics_;
  std::deque<std::string> called_for_;  // topics on which there is work to do
  bool is_called_ = false;
};

}  // namespace rt::presence
