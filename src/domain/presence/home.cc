#include "domain/presence/home.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/siphash.h"
#include "protocol/websocket/frame.h"

namespace rt::presence {
namespace {

// How long those wait for whom there was no room, until it is looked at again.
constexpr std::chrono::milliseconds kRoomInterval{20};

}  // namespace

// The same on all nodes, so the key is no secret.
std::uint32_t shard_of(std::string_view topic) {
  constexpr HashKey kShardKey{0x7072657365, 0x73686172};
  return static_cast<std::uint32_t>(siphash(kShardKey, topic) % kShards);
}

// It exists while something is to be said, and for a moment after.
struct Home::Topic {
  Topic(Home& owner, const std::string& topic)
      : home(owner),
        name(topic),
        key(*parse_presence_topic(name)),
        due([](void* self) { static_cast<Topic*>(self)->home.on_due(*static_cast<Topic*>(self)); }, this) {}

  struct Writing {
    PresenceState::Place place;
    phoenix::PresenceObject text;
  };
  // With joiners, beginning behind the one that was served last.
  std::vector<std::uint32_t> workers_in_turn() const;
  bool is_overdue(Time now) const { return now - served_at >= kRoomWaitMax; }
  bool is_serving() const { return state != nullptr && !joiners.empty() && is_called; }

  Home& home;
  const std::string name;
  const TopicKey key;  // views into it
  News news;
  std::map<std::pair<std::uint32_t, std::uint64_t>, Member> joiners;  // by worker and channel: who waits for the state
  StateFragment state;               // as it was told; null: not written since the last diff
  std::unique_ptr<Writing> writing;  // of the state, in slices; there are no news then
  std::deque<Said> held;             // what was said meanwhile
  std::size_t held_bytes = 0;
  bool is_called = false;  // it is in called_for_
  Time quiet_at{};         // nothing is told before
  Time used_at{};          // when the state was last asked for
  Time served_at{};        // when somebody was given it last, or the first of the joiners came
  std::uint32_t served_worker = 0;
  Deadline due;
};

Home::Home(const HomeConfig& config, ReplicaId self, TimingWheel& wheel, const Clock& clock, Messengers& messengers)
    : config_(config), self_(self), wheel_(wheel), clock_(clock), messengers_(messengers) {}

Home::~Home() = default;

// --- what is said

void Home::ask_state(const std::string& name, const Member& member) { hear(topic(name), AskState{member}); }

void Home::track(const std::string& name, const Member& member, std::string key, PresencePayload payload) {
  hear(topic(name), Track{member, std::move(key), std::move(payload)});
}

void Home::untrack(const std::string& name, const Member& member) {
  // A track may be held back: what is said of a topic goes one way.
  hear(topic(name), Untrack{member});
}

void Home::leave(const std::string& name, const Member& member) {
  if (!topics_.contains(name) && !entries_.contains(member.channel)) return;
  hear(topic(name), Leave{member});
}

void Home::hear(Topic& topic, Said said) {
  if (topic.writing == nullptr) {
    std::visit([&](auto& kind) { act(topic, kind); }, said);
    return go_on(topic);
  }
  topic.held_bytes += sizeof(Said);
  if (const auto* track = std::get_if<Track>(&said)) topic.held_bytes += track->key.size() + track->payload.size();
  topic.held.push_back(std::move(said));
  if (topic.held_bytes < kHeldBytesMax) return;
  while (!write_slice(topic)) {
  }
  finish_state(topic);
}

void Home::act(Topic& topic, AskState& said) {
  if (topic.joiners.empty()) topic.served_at = clock_.now();
  topic.joiners.insert_or_assign({said.member.worker, said.member.channel}, said.member);
}

void Home::act(Topic& topic, Track& said) {
  Replication& shard = this->shard(topic);
  const auto known = entries_.find(said.member.channel);
  const std::size_t less = known == entries_.end() ? 0 : shard.state().bytes_of(known->second);
  const std::size_t more = PresenceState::bytes_of(said.key, said.payload.size());
  if (shard.state().bytes(topic.name) - less + more > config_.topic_bytes_max)
    return messengers_.refuse(topic.key, said.member);
  Replication::Tracked tracked = known == entries_.end() ? shard.join(topic.name, said.key, std::move(said.payload))
                                                         : shard.update(known->second, std::move(said.payload));
  entries_.insert_or_assign(said.member.channel, tracked.clock);
  topic.news.add(tracked.diff[topic.name], topic.name, shard.state());
}

void Home::act(Topic& topic, Untrack& said) { end_entry(topic, said.member); }

void Home::act(Topic& topic, Leave& said) {
  topic.joiners.erase({said.member.worker, said.member.channel});
  end_entry(topic, said.member);
}

void Home::end_entry(Topic& topic, const Member& member) {
  const auto known = entries_.find(member.channel);
  if (known == entries_.end()) return;
  Replication& shard = this->shard(topic);
  PresenceDiff diff = shard.leave(known->second);
  entries_.erase(known);
  topic.news.add(diff[topic.name], topic.name, shard.state());
}

Home::Topic& Home::topic(const std::string& name) {
  auto& topic = topics_[name];
  if (topic == nullptr) topic = std::make_unique<Topic>(*this, name);
  return *topic;
}

Replication& Home::shard(const Topic& topic) {
  const std::uint32_t number = shard_of(topic.name);
  return shards_.try_emplace(number, ReplicationConfig{.shard = number}, self_, clock_.now()).first->second;
}

// --- what follows from it

void Home::go_on(Topic& topic) {
  if (topic.writing != nullptr) return;
  if (!topic.news.empty() && may_tell(topic, clock_.now())) tell(topic);
  if (!topic.joiners.empty() && !topic.is_called) serve(topic);
  const Time now = clock_.now();
  if (!topic.news.empty()) {
    topic.due.set(wheel_, topic.quiet_at + (topic.is_serving() ? config_.coalesce : Duration::zero()));
  } else if (!topic.joiners.empty()) {
    topic.due.set(wheel_, now + kRoomInterval);
  } else {
    topic.due.set(wheel_, std::max<Time>(topic.quiet_at, topic.used_at + config_.coalesce));
  }
}

void Home::on_due(Topic& topic) {
  const bool is_at_rest = topic.writing == nullptr && topic.news.empty() && topic.joiners.empty();
  if (is_at_rest) {
    topics_.erase(topics_.find(topic.name));
  } else {
    go_on(topic);
  }
}

// Those who are being served are not made to wait for another text, unless it takes too long.
bool Home::may_tell(const Topic& topic, Time now) const {
  if (topic.news.bytes() > kNewsBytesMax) return true;
  return now >= topic.quiet_at + (topic.is_serving() ? config_.coalesce : Duration::zero());
}

void Home::tell(Topic& topic) {
  for (const PresenceTopicDiff& diff : topic.news.take()) messengers_.tell(topic.key, phoenix::presence_diff(diff));
  topic.state.reset();
  // A deadline comes up to a tick late.
  topic.quiet_at = clock_.now() + std::max<Duration>(config_.coalesce - TimingWheel::kTick, Duration::zero());
}

// --- the state

void Home::serve(Topic& topic) {
  if (topic.state == nullptr) {
    if (!topic.news.empty() || !may_serve(topic)) return;  // it is written when they are told
    begin_state(topic);
    if (topic.writing != nullptr) return;
  }
  if (serve_some(topic)) call_for(topic);
}

std::vector<std::uint32_t> Home::Topic::workers_in_turn() const {
  std::vector<std::uint32_t> workers;
  for (auto next = joiners.begin(); next != joiners.end(); next = joiners.lower_bound({workers.back() + 1, 0}))
    workers.push_back(next->first.first);
  std::ranges::rotate(workers, std::ranges::upper_bound(workers, served_worker));
  return workers;
}

bool Home::may_serve(Topic& topic) {
  if (shard(topic).state().bytes(topic.name) <= kSmallStateBytes || topic.is_overdue(clock_.now())) return true;
  return std::ranges::any_of(topic.workers_in_turn(),
                             [this](std::uint32_t worker) { return messengers_.has_room(worker, 0); });
}

struct Home::Slice {
  std::size_t members = kMembersPerSlice;
  std::size_t bytes = kBytesPerSlice;  // of copies
  bool is_full() const { return members == 0 || bytes == 0; }
};

// True: there may be more for whom there is room.
bool Home::serve_some(Topic& topic) {
  topic.used_at = clock_.now();
  Slice left;
  for (const std::uint32_t worker : topic.workers_in_turn()) serve_worker(topic, worker, left);
  return left.is_full() && !topic.joiners.empty();
}

void Home::serve_worker(Topic& topic, std::uint32_t worker, Slice& left) {
  const std::size_t size = topic.state->size();
  std::vector<Member> served;
  const auto may_have_it = [&] {
    if (size <= kSmallStateBytes || messengers_.has_room(worker, size * served.size())) return true;
    return served.empty() && topic.is_overdue(clock_.now());
  };
  auto next = topic.joiners.lower_bound({worker, 0});
  while (!left.is_full() && next != topic.joiners.end() && next->first.first == worker && may_have_it()) {
    --left.members;
    if (next->second.takes_copy) left.bytes -= std::min(left.bytes, size);
    served.push_back(next->second);
    next = topic.joiners.erase(next);
  }
  if (served.empty()) return;
  topic.served_at = clock_.now();
  topic.served_worker = worker;
  messengers_.give_state(topic.key, topic.state, served);
}

void Home::begin_state(Topic& topic) {
  const std::size_t bytes = shard(topic).state().bytes(topic.name);
  topic.writing = std::make_unique<Topic::Writing>();
  topic.writing->text.expect(bytes + 2);
  if (bytes > kBytesPerSlice) return call_for(topic);
  while (!write_slice(topic)) {
  }
  keep_written(topic);
}

// True: that was the last one.
bool Home::write_slice(Topic& topic) {
  constexpr std::size_t kMetasAtOnce = 16;  // each may be large
  auto& [place, text] = *topic.writing;
  const PresenceState& state = shard(topic).state();
  const std::size_t end = text.bytes() + kBytesPerSlice;
  for (std::size_t metas = 0; metas < kMetasPerSlice && text.bytes() < end; metas += kMetasAtOnce) {
    const std::vector<PresenceMeta> some = state.list(topic.name, place, kMetasAtOnce);
    for (const PresenceMeta& meta : some) text.add(meta);
    if (some.size() < kMetasAtOnce) return true;
  }
  return false;
}

void Home::keep_written(Topic& topic) {
  const std::string text = std::move(topic.writing->text).finish();
  topic.writing.reset();
  topic.state = std::make_shared<const std::string>(
      ws::make_fragment(ws::Opcode::kContinuation, ws::Fragment::kMoreFollow, text));
}

void Home::finish_state(Topic& topic) {
  keep_written(topic);
  topic.held_bytes = 0;
  std::deque<Said> held = std::exchange(topic.held, {});
  for (Said& said : held) std::visit([&](auto& kind) { act(topic, kind); }, said);
  if (serve_some(topic)) call_for(topic);
  go_on(topic);
}

// --- work

void Home::call_for(Topic& topic) {
  if (std::exchange(topic.is_called, true)) return;
  called_for_.push_back(topic.name);
  call();
}

void Home::call() {
  if (!std::exchange(is_called_, true)) messengers_.call();
}

void Home::work() {
  is_called_ = false;
  if (called_for_.empty()) return;
  const auto found = topics_.find(called_for_.front());
  called_for_.pop_front();
  if (!called_for_.empty()) call();
  if (found == topics_.end()) return;
  Topic& topic = *found->second;
  topic.is_called = false;
  if (topic.writing == nullptr) {
    go_on(topic);
  } else if (write_slice(topic)) {
    finish_state(topic);
  } else {
    call_for(topic);
  }
}

}  // namespace rt::presence
