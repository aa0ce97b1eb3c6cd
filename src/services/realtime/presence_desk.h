// A worker's part in presence: it carries what its channels say to the homes of their topics, is itself the home of a
// share of all topics, and carries what those have to tell to the members, wherever they sit.
//
// All of it goes by mail, also to the own worker: so what is said of a topic by one worker, and what a home tells one
// worker, stays in order, and no call comes back while the session that made it is still at work.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "domain/presence/home.h"
#include "io/net/worker.h"
#include "model/topic.h"

namespace rt::realtime {

class Shard;

class PresenceDesk final : public presence::Messengers {
 public:
  explicit PresenceDesk(Shard& shard);

  // --- for channels of this worker
  std::uint64_t take_channel();
  // Of a channel that was given none: made of its name, so that nobody has to keep it.
  std::string key_of(std::uint64_t channel) const;
  void ask_state(const TopicKey& topic, std::uint64_t channel, SocketId socket);
  void track(const TopicKey& topic, std::uint64_t channel, SocketId socket, const std::string& key,
             std::string_view payload);
  void untrack(const TopicKey& topic, std::uint64_t channel);
  void leave(const TopicKey& topic, std::uint64_t channel);
  // The worker has stopped: what its channels say from now on reaches nobody.
  void fall_silent() { is_silent_ = true; }

  // --- for the home
  void tell(const TopicKey& topic, std::string diff) override;
  void give_state(const TopicKey& topic, const presence::StateFragment& state,
                  std::span<const presence::Member> members) override;
  void refuse(const TopicKey& topic, const presence::Member& member) override;
  bool has_room(std::uint32_t worker, std::size_t bytes) const override;
  void call() override;

 private:
  template <class Call>  // of the home of the topic and the topic's name there
  void say(const TopicKey& topic, std::size_t bytes, Call call);
  presence::Member member(std::uint64_t channel, SocketId socket) const;
  // On the thread of this worker.
  void hand_over(std::string_view topic, const presence::StateFragment& state,
                 std::span<const presence::Member> members);
  void update_gauges();

  Shard& shard_;
  presence::Home home_;
  const std::uint64_t key_maker_;
  const std::uint64_t key_ticks_;
  std::uint64_t next_channel_ = 1;
  bool is_silent_ = false;
  // Of states that other workers have sent here: the queues do not show them yet. Raised by those, lowered here.
  std::atomic<std::size_t> arriving_bytes_ = 0;
};

}  // namespace rt::realtime
