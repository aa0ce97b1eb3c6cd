// One socket's membership of one topic, from join to leave.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/timing_wheel.h"
#include "domain/channels/replay.h"
#include "domain/channels/topic_table.h"
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

struct Channel {
  ~Channel();  // leaves the presence of the topic
  Channel(ChannelSet& owner, TopicTable& topics, const TopicKey& key, SocketId socket, const FrameForm& form);

  // What it holds in memory that the client chose.
  std::size_t bytes() const {
    return sizeof(Channel) + topic().size() + recorded_join_ref.size() + join_ref.size() + token->text.size() +
           (presence == nullptr ? 0 : presence->bytes()) + (replay == nullptr ? 0 : replay->bytes());
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
  Deadline deadline;                         // the earlier of the two, or of the next look at the replication
  std::unique_ptr<ChannelPresence> presence;
  std::unique_ptr<ChannelReplay> replay;  // null: it wanted none
  Seat seat;
};

}  // namespace rt::channels
