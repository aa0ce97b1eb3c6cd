// Which sockets of a worker are subscribed to which topic.
//
// A channel takes a seat when it joins; the seat's destructor gives it back. A publisher finds the subscribers of a
// topic in one look-up per message. What a worker wants at all is told to an interest table (hashes only), which
// publishers on other workers ask before they bother this one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/siphash.h"
#include "model/message.h"
#include "model/rights.h"
#include "model/topic.h"
#include "protocol/phoenix/message.h"
#include "protocol/websocket/deflate.h"

namespace rt::channels {

// Told when a worker begins and ceases to have subscribers of a topic. Different topics may share a hash.
class Interest {
 public:
  virtual ~Interest() = default;
  virtual void begin(std::uint64_t topic_hash) = 0;
  virtual void end(std::uint64_t topic_hash) = 0;
};

class Seat;
struct ChannelReplay;

// How a socket wants its frames.
struct FrameForm {
  phoenix::Version version = phoenix::Version::kV2;
  std::optional<ws::DeflateAgreement> deflate;  // nullopt: uncompressed only
};

// How it comes to hear of changes of presence.
enum class PresenceNews : std::uint8_t {
  kShared,       // like everybody
  kAwaitsState,  // not before it has been given the state, which tells of them all
  kByChannel,    // its channel pushes them
  kNot,
};

struct Subscriber {
  SocketId socket = 0;
  FrameForm form;
  Rights rights;
  PresenceNews presence_news = PresenceNews::kShared;
  const ChannelReplay* replay = nullptr;  // of its channel, where that wants old messages
  Seat* seat = nullptr;
};

struct Topic {
  std::string tenant;
  Privacy privacy = Privacy::kPublic;
  std::string name;
  std::uint64_t hash = 0;
  std::vector<Subscriber> subscribers;  // in no order

  TopicKey key() const { return {tenant, privacy, name}; }
};

class TopicTable {  // of one worker, used on its thread only
 public:
  // `hash_key` is the same on all workers of a process; `interest` must outlive the table, and the table all seats.
  TopicTable(HashKey hash_key, Interest& interest) : hash_key_(hash_key), interest_(interest) {}

  HashKey hash_key() const { return hash_key_; }
  // Null: nobody here is subscribed. Valid until the next seat is taken or given back.
  const Topic* find(const TopicKey& key, std::uint64_t hash) const;
  std::size_t size() const { return topics_.size(); }
  std::size_t seats() const { return seats_; }

 private:
  friend class Seat;
  struct Key {
    std::uint64_t hash;
    TopicKey key;
    bool operator==(const Key&) const = default;
  };
  struct HashOf {
    std::size_t operator()(const Key& key) const { return key.hash; }
  };

  Topic& topic_for(const TopicKey& key);
  void remove(Topic& topic);

  const HashKey hash_key_;
  Interest& interest_;
  std::unordered_map<Key, std::unique_ptr<Topic>, HashOf> topics_;  // keys point into their topics
  std::size_t seats_ = 0;
};

// A channel's place among the subscribers of its topic.
class Seat {
 public:
  Seat(TopicTable& table, const TopicKey& key, SocketId socket, const FrameForm& form);
  ~Seat();
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

  const Topic& topic() const { return *topic_; }
  // Kept among the subscribers, where a fan-out reads them. All of them in a public topic, none in a private one until
  // they are set.
  const Rights& rights() const { return topic_->subscribers[index_].rights; }
  void set_rights(const Rights& rights) { topic_->subscribers[index_].rights = rights; }
  // Likewise. kShared in a public topic, kNot in a private one until it is set.
  PresenceNews presence_news() const { return topic_->subscribers[index_].presence_news; }
  void set_presence_news(PresenceNews news) { topic_->subscribers[index_].presence_news = news; }
  // When its channel joined.
  Time taken_at() const { return taken_at_; }
  void set_taken_at(Time now) { taken_at_ = now; }
  // Null until it is set; outlives the seat.
  void set_replay(const ChannelReplay* replay) { topic_->subscribers[index_].replay = replay; }

 private:
  TopicTable& table_;
  Topic* topic_;
  std::size_t index_;
  Time taken_at_{};
};

}  // namespace rt::channels
