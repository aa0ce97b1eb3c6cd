// A refused join that waits for its answer.
//
// Errors of a join are answered after a back-off, so that a client that retries at once costs little. Only this topic
// waits: its further frames are kept here and worked off in order afterwards; heartbeats and other topics go on.
#pragma once

#include <deque>
#include <string>

#include "base/timing_wheel.h"
#include "protocol/websocket/frame.h"

namespace rt::channels {

class ChannelSet;

struct WaitingFrame {
  ws::Opcode opcode = ws::Opcode::kText;
  std::string bytes;
};

struct Refusal {
  Refusal(ChannelSet& owner, std::string name);

  // In memory, but for the frames that wait.
  std::size_t bytes() const { return sizeof(Refusal) + topic.size() + reply.size() + close_of_replaced.size(); }

  ChannelSet& set;
  const std::string topic;
  std::string reply;              // whole frame
  std::string close_of_replaced;  // whole frame, empty when the join replaced no channel
  bool closes_socket = false;     // with 1001, once it is answered
  bool holds_slot = false;        // counts as a channel of the socket until it is answered
  std::deque<WaitingFrame> waiting;
  Deadline due;
};

}  // namespace rt::channels
