// A topic on which a client waits: for the answer to a refused join, or for what the tenant's database says.
//
// Only this topic waits: its further frames are kept here and worked off in order afterwards; heartbeats and other
// topics go on. Errors of a join are answered after a back-off, so that a client that retries at once costs little.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/timing_wheel.h"
#include "domain/channels/channel.h"
#include "model/rights_question.h"
#include "protocol/websocket/frame.h"

namespace rt::channels {

struct WaitingFrame {
  ws::Opcode opcode = ws::Opcode::kText;
  std::string bytes;
};

// A join that was refused and waits for its answer.
struct Refusal {
  std::string reply;              // whole frame
  std::string close_of_replaced;  // whole frame, empty when the join replaced no channel
  bool closes_socket = false;     // with 1001, once it is answered
  bool holds_slot = false;        // counts as a channel of the socket until it is answered
};

// A join of a private channel that has passed all checks but those of the database.
struct PendingJoin {
  WaitingFrame frame;
  TokenRef token;
  std::string close_of_replaced;  // as above
};

// A join that has passed all checks and waits for the messages of before. Its channel has its seat, and misses nothing.
struct PendingReplay {
  WaitingFrame join;
  std::string close_of_replaced;  // as above
  std::unique_ptr<Channel> channel;
  std::vector<LiveMessage> live{};  // what came meanwhile
  std::size_t live_bytes = 0;
  bool is_given_up = false;  // too much came; nothing is kept any more
};

// A private channel that wants to know more of its rights. kPush: for the first of the frames that wait.
struct PendingRights {
  enum class For : std::uint8_t { kPush, kNewToken };
  For what = For::kPush;
};

struct HeldTopic {
  using Why = std::variant<Refusal, PendingJoin, PendingReplay, PendingRights>;

  HeldTopic(ChannelSet& owner, std::string name, Why reason);

  // In memory, but for the frames that wait and the messages that are kept.
  std::size_t bytes() const;
  bool holds_slot() const;

  ChannelSet& set;
  const std::string topic;
  Why why;
  std::uint64_t ticket = 0;  // of the question; 0: none was asked
  AskedRights asked{};
  std::deque<WaitingFrame> waiting{};
  Deadline due;  // of the answer; a question that nobody has answered by then counts as one that could not be
};

}  // namespace rt::channels
