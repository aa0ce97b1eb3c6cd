// One socket's membership of one topic, from join to leave.
#pragma once

#include <optional>
#include <string>

#include "base/timing_wheel.h"
#include "domain/channels/topic_table.h"
#include "model/token.h"

namespace rt::channels {

class ChannelSet;

struct Channel {
  Channel(ChannelSet& owner, TopicTable& topics, const TopicKey& key, SocketId socket, const FrameForm& form);

  // What it holds in memory that the client chose.
  std::size_t bytes() const {
    return sizeof(Channel) + topic().size() + recorded_join_ref.size() + join_ref.size() + token->text.size();
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
  Deadline deadline;                         // the earlier of the two
  Seat seat;
};

}  // namespace rt::channels
