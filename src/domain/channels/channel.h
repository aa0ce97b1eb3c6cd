// One socket's membership of one topic, from join to leave.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/timing_wheel.h"
#include "domain/channels/replay.h"
#include "domain/channels/topic_table.h"
#include "model/changes.h"
#include "model/token.h"

namespace rt::channels {

class ChannelSet;

// What a channel has of presence. Most have none.
struct ChannelPresence {
  std::uint64_t id = 0;                    // by which the home of the topic's presence knows the channel
  std::unique_ptr<const std::string> key;  // null: the client gave none
  std::uint64_t tracked_hash = 0;          // of what was tracked last
  Time window_begin{};
  std::uint32_t events_in_window = 0;
  std::uint32_t tracked_bytes = 0;  // that it takes, key included; 0: nothing is tracked

  bool is_tracked() const { return tracked_bytes > 0; }
  std::size_t bytes() const { return sizeof *this + (key == nullptr ? 0 : key->size()) + tracked_bytes; }
};

// What a channel has of row changes. Most have none.
struct ChannelChanges {
  ChangeForm form = ChangeForm::kWithIds;
  std::vector<ChangeEntry> entries;  // at least one
  std::uint64_t id = 0;              // by which the tenant's database knows them; 0: it was not asked yet
  Time renewable_at{};               // when a new token may take effect again
  std::optional<Time> renew_at;      // when it does, where one has to wait for that

  bool has_to_renew(Time now) const { return renew_at && *renew_at <= now; }
  std::size_t bytes() const {
    std::size_t out = sizeof *this + entries.size() * sizeof(ChangeEntry);
    for (const ChangeEntry& entry : entries) out += entry.text.size();
    return out;
  }
};

struct Channel {
  ~Channel();  // leaves the presence of the topic, and is told no more changes
  Channel(ChannelSet& owner, TopicTable& topics, const TopicKey& key, SocketId socket, const FrameForm& form);

  // What it holds in memory that the client chose.
  std::size_t bytes() const {
    return sizeof(Channel) + topic().size() + recorded_join_ref.size() + join_ref.size() + token->text.size() +
           (presence == nullptr ? 0 : presence->bytes()) + (replay == nullptr ? 0 : replay->bytes()) +
           (changes == nullptr ? 0 : changes->bytes() + topic().size());  // by which it is found again
  }
  const std::string& topic() const { return seat.topic().name; }
  std::string_view sub_topic() const { return std::string_view(topic()).substr(kTopicPrefix.size()); }

  ChannelSet& set;
  std::string recorded_join_ref;  // JSON source text of the join frame's join_ref
  std::string join_ref;           // the same, or the join's ref where that was null; replies and pushes carry it
  bool ack = false;
  bool self = false;
  bool presence_enabled = false;
  TokenRef token;
  std::size_t counted_bytes = 0;             // of bytes(), in the sum of its socket
  Time confirm_at{};                         // when the token is looked at again
  std::optional<Time> replication_ready_by;  // when the wait for the replication notice is given up
  Deadline deadline;                         // the earliest of those, and of its changes, or of the next look at the
                                             // replication
  std::unique_ptr<ChannelPresence> presence;
  std::unique_ptr<ChannelReplay> replay;    // null: it wanted none
  std::unique_ptr<ChannelChanges> changes;  // likewise
  Seat seat;
};

}  // namespace rt::channels
