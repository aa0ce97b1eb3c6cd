// Who is present on which topic, on all nodes: a conflict-free replicated data type.
//
// The problem. Each node knows its own clients first-hand and hears of the others' by messages that may be lost,
// repeated, delayed or overtaken, from nodes that may die, come back, or be cut off for a while. Whatever happens,
// nodes that can talk to each other have to end up with the same members, and somebody who has left must never come
// back as a ghost.
//
// Events. Each replica (one life of one node) numbers what happens to its own clients: 1, 2, 3, … The pair (replica,
// clock) is a dot. Some events are births: an entry came into being, and the dot is its name for ever. The others are
// ends: one entry, born earlier at the same replica, is gone. An update is an end and a birth. Nobody but the replica
// itself makes events of its own, so for one replica there is one true history, and the others know more or less of it.
//
// The lattice. For each dot a node is in one of three states of knowledge, and only ever moves forward:
//
//     never heard of it   ->   it is alive, here is the entry   ->   it is gone
//
// A message says such a thing about some dots, and merging takes the later state of each dot. A maximum does not care
// about order, grouping or repetition, which is all there is to convergence. (Dots of ends go from unknown straight to
// gone.) To store this we need the live entries and the set of dots that we have heard of (`Dots`): a dot in the set
// without an entry is gone. No tombstones are kept, however many clients come and go. This is the observed-remove set
// without tombstones of Bieniusa et al. ("An optimized conflict-free replicated set", 2012), and the messages are its
// deltas as Almeida, Shoker and Baquero define them ("Delta state replicated data types", 2018).
//
// Why ends have dots. Without them a lost end would leave no trace: both sides have heard of the same dots, and differ.
// With them a missing event of any kind is a gap in the numbers, and "how far do you know each replica" (a digest) is
// enough to find all differences. That rests on one rule, which every message is made to keep:
//
//     who has heard of an end knows that its entry is gone.
//
// - A delta is a run of events, applied as a whole, and names the entries that they ended. A dot named so may be one
// that
//   we have never seen: it becomes known, as gone, and a birth that arrives later finds it so. That is complete
//   knowledge of a birth. It would not be of an update if that were a single event: the entry that it replaced would
//   stay for ever. That is why an update is two events.
// - A chunk is all that a node knows of a run of dots: entries not in it are gone. A state travels as chunks in
// ascending
//   order, up to the point that was complete at the sender when the first chunk was made. So an end that is in a chunk
//   finds the entry in the same chunk or an earlier one, and it was gone there already; and each later chunk may be
//   made later, and even by another node that knows as much.
//
// Replicas. A replica that is down is hidden: its entries stay, because it may only be out of reach, and show again
// when it is up. What each node takes for down is its own affair and is not merged. Forgetting a replica drops entries
// and dots together: then nothing was ever heard of it, and if it returns all the same it is learnt anew. Only replicas
// that were announced (replica_up) and not forgotten are listened to, or two nodes that forget at different times would
// teach each other ghosts for ever.
//
// Memory. Besides the text of its payload an entry costs a node in its replica's map and one, with the key, in its
// topic's: about 250 bytes for keys of 36 characters (`./dev simulate` measures it, the bound is 400).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "domain/presence/dots.h"
#include "model/presence.h"
#include "model/presence_message.h"
#include "model/replica.h"

namespace rt::presence {

// Topics are texts that mean nothing here (`presence_topic` makes them). Each change returns what members must be told.
class PresenceState {
  struct Entry;
  using Item = std::pair<const std::uint64_t, Entry>;  // with the clock of its birth

 public:
  explicit PresenceState(ReplicaId self);
  PresenceState(PresenceState&&) = delete;  // entries point to what is in here

  // --- our own clients

  struct Tracked {
    std::uint64_t clock;  // the name of the entry for update() and leave()
    PresenceDiff diff;
  };
  Tracked join(std::string_view topic, std::string_view key, PresencePayload payload);
  // The entry must be there.
  Tracked update(std::uint64_t clock, PresencePayload payload);
  // Nothing happens if it is gone.
  PresenceDiff leave(std::uint64_t clock);
  // The number of our latest event.
  std::uint64_t clock() const { return self_->dots.prefix(); }

  // --- other replicas

  PresenceDiff replica_up(ReplicaId replica);
  PresenceDiff replica_down(ReplicaId replica);
  // It is down permanently.
  PresenceDiff replica_forget(ReplicaId replica);
  // What is known of a replica; null: it was never announced, or is forgotten.
  const Dots* dots(ReplicaId replica) const;
  std::vector<PresenceDigest::Version> versions() const;

  // Only consistent messages (`consistency.h`). Both ignore what is about ourselves, or about a replica that dots()
  // does not know.
  PresenceDiff merge(const PresenceDelta& delta);
  PresenceDiff merge(const PresenceChunk& chunk);
  // How many ranges its cloud may have after this at most: the caller decides what is too many.
  std::size_t cloud_size_after(const PresenceDelta& delta) const;

  // --- what others are sent; `bytes_max` is about the size of the message, with one entry it may be more

  struct End {
    std::uint64_t clock;
    std::uint64_t entry;
  };
  // Our own events after `from`, as many as fit, at least one. `ends` holds those of them that ended something.
  PresenceDelta delta(std::uint64_t from, std::span<const End> ends, std::size_t bytes_max) const;
  // Answers a pull, without sender, receiver and shard. nullopt: we do not know as much.
  std::optional<PresenceChunk> chunk(const PresencePull& pull, std::size_t bytes_max) const;

  // --- a topic

  // Who is present, in the order of keys.
  std::vector<PresenceMeta> list(std::string_view topic) const;
  // The same in parts: at most `count` of those behind `place`, which moves on; fewer only at the end. Nothing may
  // change the topic in between.
  class Place {
    friend class PresenceState;
    const Item* last_ = nullptr;  // null: the beginning of all
    std::uint64_t version_ = 0;
  };
  std::vector<PresenceMeta> list(std::string_view topic, Place& place, std::size_t count) const;
  bool contains(std::string_view topic, std::string_view key) const;
  // About what list() takes when it is written down, the hidden ones included.
  std::size_t bytes(std::string_view topic) const;
  static std::size_t bytes_of(std::string_view key, std::size_t payload_size);
  // Of our own entry, which must be there.
  std::size_t bytes_of(std::uint64_t clock) const;
  // Changes whenever list() does. 0: nobody has been there since the topic was last empty.
  std::uint64_t version(std::string_view topic) const;
  // Entries of all topics and replicas, the hidden ones too.
  std::size_t size() const;

 private:
  struct Replica;
  struct Topic;
  // Ordered maps: no client can choose names that make them slow.
  using Members = std::multimap<std::string, Item*, std::less<>>;  // by key
  struct Entry {
    Replica* replica;
    Topic* topic;
    Members::iterator member;
    std::uint64_t replaces;
    PresencePayload payload;
  };
  using Entries = std::map<std::uint64_t, Entry>;  // by clock
  struct Replica {
    std::uint64_t hash;
    bool is_up;
    Dots dots;
    Entries entries;
  };
  struct Topic {
    const std::string* name;
    std::uint64_t version;
    std::size_t bytes;
    Members members;
  };

  Replica* find(ReplicaId replica);
  Topic& topic_of(const std::string& name);
  void insert(Replica& replica, PresenceBirth birth, PresenceDiff& diff);
  Entries::iterator erase(Replica& replica, Entries::iterator entry, PresenceDiff& diff);
  void detach(const Entry& entry);
  void retain(Replica& replica, std::uint64_t after, std::uint64_t through, std::span<const std::uint64_t> kept,
              const std::vector<PresenceBirth>& births, PresenceDiff& diff);
  void note(const Item& item, std::vector<PresenceMeta> PresenceTopicDiff::* change, PresenceDiff& diff);
  static PresenceMeta meta_of(const Item& item);
  static PresenceBirth birth_of(const Item& item);
  static std::size_t wire_bytes_of(const Entry& entry);

  const ReplicaId self_id_;
  std::map<ReplicaId, Replica> replicas_;
  std::map<std::string, Topic, std::less<>> topics_;
  std::uint64_t changes_ = 0;
  Replica* self_;
};

}  // namespace rt::presence
