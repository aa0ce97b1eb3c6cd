#include "services/realtime/presence_desk.h"

#include <utility>
#include <vector>

#include "base/time_uuid.h"
#include "services/realtime/shard.h"

namespace rt::realtime {
namespace {

template <class Call>
class CallMail final : public net::Mail {
 public:
  explicit CallMail(Call call) : call_(std::move(call)) {}
  void deliver() override { call_(); }

 private:
  Call call_;
};

template <class Call>
void post(Shard& from, Shard& to, std::size_t bytes, Call call) {
  from.worker().post_to(to.worker(), std::make_unique<CallMail<Call>>(std::move(call)), bytes);
}

// What a mail about a topic takes besides what it carries.
constexpr std::size_t kMailBytes = 200;

}  // namespace

PresenceDesk::PresenceDesk(Shard& shard)
    : shard_(shard),
      home_(shard.node().config.presence, shard.node().config.replica, shard.worker().wheel(), shard.worker().clock(),
            *this),
      key_maker_(shard.node().random.next()),
      key_ticks_(uuid_ticks(shard.worker().clock().wall())) {}

// --- what channels say

std::uint64_t PresenceDesk::take_channel() {
  constexpr std::uint64_t kWorkersMax = 64;
  return next_channel_++ * kWorkersMax + static_cast<std::uint64_t>(shard_.worker().index());
}

std::string PresenceDesk::key_of(std::uint64_t channel) const { return time_uuid(key_ticks_ + channel, key_maker_); }

template <class Call>
void PresenceDesk::say(const TopicKey& topic, std::size_t bytes, Call call) {
  if (is_silent_) return;
  std::string name = presence_topic(topic);
  const auto& shards = shard_.node().shards;
  Shard& to = *shards[presence::shard_of(name) % shards.size()];
  bytes += name.size() + kMailBytes;
  post(shard_, to, bytes, [&desk = to.presence(), name = std::move(name), call = std::move(call)]() mutable {
    call(desk.home_, name);
    desk.update_gauges();
  });
}

presence::Member PresenceDesk::member(std::uint64_t channel, SocketId socket) const {
  return {.channel = channel,
          .worker = static_cast<std::uint32_t>(shard_.worker().index()),
          .socket = socket,
          .takes_copy = is_long_poll(socket)};
}

void PresenceDesk::ask_state(const TopicKey& topic, std::uint64_t channel, SocketId socket) {
  say(topic, 0, [member = member(channel, socket)](presence::Home& home, const std::string& name) {
    home.ask_state(name, member);
  });
}

void PresenceDesk::track(const TopicKey& topic, std::uint64_t channel, SocketId socket, const std::string& key,
                         std::string_view payload) {
  const std::size_t bytes = key.size() + payload.size();
  say(topic, bytes,
      [member = member(channel, socket), key = std::string(key), payload = PresencePayload(payload)](
          presence::Home& home, const std::string& name) mutable {
        home.track(name, member, std::move(key), std::move(payload));
      });
}

void PresenceDesk::untrack(const TopicKey& topic, std::uint64_t channel) {
  say(topic, 0,
      [member = member(channel, 0)](presence::Home& home, const std::string& name) { home.untrack(name, member); });
}

void PresenceDesk::leave(const TopicKey& topic, std::uint64_t channel) {
  say(topic, 0,
      [member = member(channel, 0)](presence::Home& home, const std::string& name) { home.leave(name, member); });
}

// --- what the home tells

void PresenceDesk::tell(const TopicKey& topic, std::string diff) {
  const auto tenant = shard_.node().tenants.known(topic.tenant);
  if (!tenant) return;  // it is gone, and all its sockets with it
  shard_.counters().presence_diffs.add();
  Message message{.tenant = std::string(topic.tenant),
                  .privacy = topic.privacy,
                  .topic = std::string(topic.topic),
                  .topic_hash = hash_of(shard_.node().hash_key, topic),
                  .kind = MessageKind::kPresenceDiff};
  message.payload = std::move(diff);
  shard_.spread(std::make_shared<const Broadcast>(std::move(message)), tenant, 0);
}

void PresenceDesk::give_state(const TopicKey& topic, const presence::StateFragment& state,
                              std::span<const presence::Member> members) {
  const std::uint32_t worker = members.front().worker;
  shard_.counters().presence_states.add(members.size());
  Shard& to = *shard_.node().shards[worker];
  if (&to == &shard_) return hand_over(topic.topic, state, members);
  const std::size_t bytes = state->size() * members.size();
  to.presence().arriving_bytes_ += bytes;
  post(shard_, to, state->size() + kMailBytes,
       [&desk = to.presence(), bytes, name = std::string(topic.topic), state,
        members = std::vector<presence::Member>(members.begin(), members.end())] {
         desk.hand_over(name, state, members);
         desk.arriving_bytes_ -= bytes;
       });
}

void PresenceDesk::hand_over(std::string_view topic, const presence::StateFragment& state,
                             std::span<const presence::Member> members) {
  for (const presence::Member& member : members) shard_.give_presence_state(topic, member, state);
  // has_room() may be asked again before this turn is over.
  shard_.worker().count_queues();
}

void PresenceDesk::refuse(const TopicKey& topic, const presence::Member& member) {
  Shard& to = *shard_.node().shards[member.worker];
  post(shard_, to, kMailBytes, [&to, name = std::string(topic.topic), member] { to.refuse_presence(name, member); });
}

// The states of a crowd must not push its own members, or anybody else, out of their queues.
bool PresenceDesk::has_room(std::uint32_t worker, std::size_t bytes) const {
  Shard& to = *shard_.node().shards[worker];
  bytes += to.worker().counters().send_queue_bytes.value() + to.long_polls().queue_bytes();
  bytes += to.worker().mailbox_bytes() + to.presence().arriving_bytes_;
  return bytes < shard_.node().config.presence_queue_bytes_max;
}

void PresenceDesk::call() {
  post(shard_, shard_, 0, [this] {
    home_.work();
    update_gauges();
  });
}

void PresenceDesk::update_gauges() {
  ShardCounters& counters = shard_.counters();
  counters.presences.add(home_.entries() - counters.presences.value());
}

}  // namespace rt::realtime
