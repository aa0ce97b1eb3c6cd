// The channels of one socket: what each frame of the client leads to.
//
// protocol.md 3 to 5 and 8 in code: which event does what on which topic, what is answered with which ref, in which
// order. No I/O and no clock; answers, messages and log lines are returned as actions. It lives on its worker's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "domain/channels/actions.h"
#include "domain/channels/channel.h"
#include "domain/channels/channel_host.h"
#include "domain/channels/join_request.h"
#include "domain/channels/refusal.h"
#include "protocol/phoenix/encoder.h"
#include "protocol/phoenix/message.h"

namespace rt::channels {

// What waits for back-offs on one socket. Above it the socket is not read until some of it has been answered.
inline constexpr std::size_t kWaitingBytesMax = 256 * 1024;
// No socket may have more, whatever the tenant's limit.
inline constexpr std::size_t kChannelsPerSocketMax = 99'999;

class ChannelSet {
 public:
  // `connection_token` is the one the socket was opened with. `host` must outlive the set.
  ChannelSet(ChannelHost& host, SocketId socket, const FrameForm& form, TokenRef connection_token);
  ~ChannelSet();
  ChannelSet(const ChannelSet&) = delete;
  ChannelSet& operator=(const ChannelSet&) = delete;

  // One frame of the client. Adds to `out`.
  void handle(ws::Opcode opcode, std::string_view frame, Actions& out);

  // Answers every refused join that still waits: the socket is about to be closed by us.
  void answer_refusals(Actions& out);

  const FrameForm& form() const { return form_; }
  const TokenRef& connection_token() const { return connection_token_; }
  bool wants_pause() const { return waiting_bytes_ > kWaitingBytesMax; }
  std::size_t channels() const { return channels_.size(); }
  // Joined, joining, or waiting for the answer to a join.
  bool is_empty() const { return channels_.empty() && refusals_.empty(); }
  bool has_tried_to_join() const { return has_tried_to_join_; }

  // Ends a channel, if there is one of this topic: the client is told why and that it is closed.
  void end(std::string_view topic, std::string_view reason, Actions& out);

  // Ends them all: each is told that the server wants it so, and the socket is closed.
  void disconnect(Actions& out);

  // Called by deadlines.
  void on_channel_due(Channel& channel);
  void on_refusal_due(Refusal& refusal);

 private:
  struct JoinFault {
    std::string_view code;  // for the log
    std::string reason;     // for the client
    bool holds_slot = false;
    LogLevel level = LogLevel::kError;
    bool is_logged = true;
    bool closes_socket = false;  // with 1001, once it is answered
  };
  using Message = phoenix::ClientMessage;

  // channel_set.cc: routing
  void route(const Message& message, Actions& out);
  void on_unjoined(const Message& message, Actions& out);
  void on_joined(Channel& channel, const Message& message, Actions& out);
  void leave(Channel& channel, const Message& message, Actions& out);
  void presence(Channel& channel, const Message& message, Actions& out);
  void reply(std::string_view join_ref, const Message& message, std::string_view status, std::string_view response,
             Actions& out);
  void send(const phoenix::ServerMessage& message, Actions& out);
  void shut_down(Channel& channel, std::string_view reason, Actions& out);  // end() with a line in the log
  void end(Channel& channel, std::string_view reason, Actions& out);
  void remove(Channel& channel);
  Channel* find(std::string_view topic);
  void defer(Refusal& refusal, ws::Opcode opcode, std::string_view frame);
  void answer(std::unique_ptr<Refusal> refusal, Actions& out);

  // joining.cc
  void join(const Message& message, Actions& out);
  Result<std::unique_ptr<Channel>, JoinFault> try_join(const Message& message, std::string_view topic,
                                                       std::string& echo, Actions& out);
  Result<TokenRef, JoinFault> channel_token(const JoinRequest& request);
  void refuse_join(const Message& message, const JoinFault& fault, std::string close_of_replaced, Actions& out);
  std::string close_frame_of(const Channel& channel) const;
  std::size_t held_slots() const;

  // broadcasting.cc
  void broadcast(Channel& channel, const Message& message, Actions& out);

  // tokens.cc
  void refresh_token(Channel& channel, const Message& message, Actions& out);
  void confirm_later(Channel& channel);

  ChannelHost& host_;
  const SocketId socket_;
  const FrameForm form_;
  const TokenRef connection_token_;
  phoenix::Decoder decoder_;
  std::string_view frame_;  // the one at hand
  ws::Opcode opcode_ = ws::Opcode::kText;
  bool has_tried_to_join_ = false;
  std::size_t waiting_bytes_ = 0;
  std::size_t channel_bytes_ = 0;  // of all channels, their counted_bytes

  struct TopicHash {
    HashKey key;
    std::size_t operator()(std::string_view topic) const { return siphash(key, topic); }
  };
  std::unordered_map<std::string_view, std::unique_ptr<Channel>, TopicHash> channels_;  // keys are their topics' names
  std::unordered_map<std::string_view, std::unique_ptr<Refusal>, TopicHash> refusals_;
};

}  // namespace rt::channels
