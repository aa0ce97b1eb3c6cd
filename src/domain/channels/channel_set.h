// The channels of one socket: what each frame of the client leads to.
//
// protocol.md 3 to 5 and 8 in code: which event does what on which topic, what is answered with which ref, in which
// order. No I/O and no clock; answers, messages, log lines and questions to the tenant's database are returned as
// actions. It lives on its worker's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "domain/channels/actions.h"
#include "domain/channels/channel.h"
#include "domain/channels/channel_host.h"
#include "domain/channels/held_topic.h"
#include "domain/channels/join_request.h"
#include "protocol/json/value.h"
#include "protocol/phoenix/encoder.h"
#include "protocol/phoenix/message.h"

namespace rt::channels {

// What waits for back-offs and for the database on one socket. Above it the socket is not read until some of it has
// been answered.
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

  // What the database said. The question may be nobody's any more.
  void on_rights(std::string_view topic, std::uint64_t ticket, const RightsAnswer& answer, Actions& out);

  // The messages that a join asked for. Likewise.
  void on_replayed(std::string_view topic, std::uint64_t ticket, ReplayAnswer answer, Actions& out);
  // A live message for a channel that still waits for those. Ends no channel.
  void keep_live(std::string_view topic, LiveMessage message);

  // Answers every refused join that still waits: the socket is about to be closed by us. What waits for the database is
  // given up.
  void answer_refusals(Actions& out);

  const FrameForm& form() const { return form_; }
  const TokenRef& connection_token() const { return connection_token_; }
  bool wants_pause() const { return waiting_bytes_ > kWaitingBytesMax; }
  std::size_t channels() const { return channels_.size(); }
  // Joined, joining, or waiting for the answer to a join.
  bool is_empty() const { return channels_.empty() && held_.empty(); }
  bool has_tried_to_join() const { return has_tried_to_join_; }

  // Ends a channel, if there is one of this topic: the client is told why and that it is closed.
  void end(std::string_view topic, std::string_view reason, Actions& out);

  // The state that a channel asked for, and changes for a channel that gets them by itself. The payload is a fragment
  // in the middle of a message, which many share; where this socket takes no fragments, or it is small, it is copied.
  // Nothing happens if the channel is gone.
  enum class Fragments : std::uint8_t { kTaken, kNotTaken };
  void give_presence_state(std::string_view topic, std::uint64_t id, const std::shared_ptr<const std::string>& state,
                           Fragments fragments, Actions& out);
  void push_presence_diff(std::string_view topic, const std::shared_ptr<const std::string>& diff, Fragments fragments,
                          Actions& out);
  // What the channel tracked is not kept. Likewise.
  void refuse_presence(std::string_view topic, std::uint64_t id, Actions& out);

  // What became of the subscriptions of a channel. It may be gone.
  void on_changes_notice(std::string_view topic, std::uint64_t id, const ChangesNotice& notice, Actions& out);

  // Ends them all: each is told that the server wants it so, and the socket is closed.
  void disconnect(Actions& out);

  // Called by deadlines.
  void on_channel_due(Channel& channel);
  void on_held_due(HeldTopic& held);
  // Called by a channel that ends.
  void leave_presence(const Channel& channel);
  void unsubscribe_from_changes(const Channel& channel);

 private:
  struct JoinFault {
    std::string_view code;      // for the log
    std::string reason;         // for the client
    std::string log_text = {};  // empty: the reason
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
  void reply(std::string_view join_ref, const Message& message, std::string_view status, std::string_view response,
             Actions& out);
  void send(const phoenix::ServerMessage& message, Actions& out);
  void shut_down(Channel& channel, std::string_view reason, Actions& out);  // end() with a line in the log
  void end(Channel& channel, std::string_view reason, Actions& out);
  void remove(Channel& channel);
  Channel* find(std::string_view topic);
  // What is said on a held topic waits.
  HeldTopic& hold(std::unique_ptr<HeldTopic> held, Duration how_long);
  std::unique_ptr<HeldTopic> take(HeldTopic& held);
  void defer(HeldTopic& held, ws::Opcode opcode, std::string_view frame);
  void answer(Refusal& refusal, Actions& out);
  void work_off(HeldTopic& held, Actions& out);  // one that was taken

  // joining.cc
  void join(const Message& message, Actions& out);
  struct Admitted {
    JoinRequest request;
    TokenRef token;
  };
  Result<Admitted, JoinFault> admit(const Message& message, Actions& out);
  Result<std::unique_ptr<Channel>, JoinFault> make_channel(const Message& message, const JoinRequest& request,
                                                           const TokenRef& token, const Rights& rights);
  // A join once the rights of its channel are known. Where it has to wait again, `frame`, which is its own, is taken.
  void complete_join(const Message& message, const JoinRequest& request, const TokenRef& token, const Rights& rights,
                     WaitingFrame& frame, std::string close_of_replaced, Actions& out);
  // What a channel is told of the time before its join reply, right behind that.
  struct Past {
    Replay replay;
    std::vector<LiveMessage> live;
  };
  // The rest of a join: nothing of it can be refused any more.
  void enter(const Message& message, const JoinRequest& request, std::unique_ptr<Channel> joined,
             std::string close_of_replaced, Past past, Actions& out);
  static JoinFault no_room_for_user();
  Result<TokenRef, JoinFault> channel_token(const JoinRequest& request);
  void refuse_join(const Message& message, const JoinFault& fault, std::string close_of_replaced, Actions& out);
  std::string close_frame_of(const Channel& channel) const;
  std::size_t held_slots() const { return channels_.size() + waiting_slots_; }
  void cut(std::string_view topic, Actions& out);

  // replaying.cc
  void ask_replay(std::unique_ptr<Channel> channel, WaitingFrame join, std::string close_of_replaced,
                  ReplayQuestion question, Actions& out);
  void on_replay(PendingReplay& pending, ReplayAnswer answer, Actions& out);
  void tell_past(const Channel& channel, Past past, Actions& out);
  void push_replayed(const Channel& channel, const StoredMessage& old, Actions& out);

  // permissions.cc
  void ask_to_join(const Message& message, const Admitted& admitted, std::string close_of_replaced, Actions& out);
  void ask(Channel& channel, const AskedRights& asked, PendingRights::For what, Actions& out);
  // What a push needs and the channel does not know yet; nullopt: nothing.
  static std::optional<AskedRights> rights_needed(const Channel& channel, const Message& message);
  void on_join_rights(PendingJoin& join, const AskedRights& asked, const RightsAnswer& answer, Actions& out);
  void on_push_rights(HeldTopic& held, Channel& channel, const RightsAnswer& answer, Actions& out);
  void on_track_rights(HeldTopic& held, Channel& channel, const RightsAnswer& answer, Actions& out);
  void on_token_rights(Channel& channel, const AskedRights& asked, const RightsAnswer& answer, Actions& out);

  // broadcasting.cc
  void broadcast(Channel& channel, const Message& message, Actions& out);

  // presence.cc
  void begin_presence(Channel& channel, Actions& out);
  // `rights` are those of the channel, or what they become when it tracks something by this message.
  void presence(Channel& channel, const Message& message, Rights rights, Actions& out);
  void track(Channel& channel, const Message& message, Rights rights, Actions& out);
  void refuse_track(Channel& channel, const Message& message, std::string_view why, Actions& out);
  static bool is_track(const Message& message);
  void untrack(Channel& channel, const Message& message, Actions& out);
  void end_presence(Channel& channel, ChannelHost::PresenceEnd why, Actions& out);
  ChannelPresence& presence_of(Channel& channel);
  std::int64_t presence_events_left(Channel& channel);
  void count_again(Channel& channel, Actions& out);
  Channel* find_present(std::string_view topic, std::uint64_t id);
  void send_shared(const Channel& channel, std::string_view event, const std::shared_ptr<const std::string>& payload,
                   Fragments fragments, Actions& out);

  // changes.cc
  static std::unique_ptr<ChannelChanges> wanted_changes(const JoinRequest& request, std::string_view sub_topic);
  void subscribe_to_changes(Channel& channel);
  // Under its new token.
  void renew_changes(Channel& channel);

  // tokens.cc
  void refresh_token(Channel& channel, const Message& message, Actions& out);
  void confirm_later(Channel& channel);
  void tell_if_streaming(Channel& channel, Actions& out);
  void wait(Channel& channel);

  ChannelHost& host_;
  const SocketId socket_;
  const FrameForm form_;
  const TokenRef connection_token_;
  phoenix::Decoder decoder_;
  std::string_view frame_;  // the one at hand
  ws::Opcode opcode_ = ws::Opcode::kText;
  bool has_tried_to_join_ = false;
  std::size_t waiting_bytes_ = 0;
  std::size_t waiting_slots_ = 0;  // held topics that count as channels
  std::size_t channel_bytes_ = 0;  // of all channels, their counted_bytes
  std::size_t live_bytes_ = 0;     // of the messages that are kept for channels that wait for older ones
  std::uint64_t last_ticket_ = 0;

  struct TopicHash {
    HashKey key;
    std::size_t operator()(std::string_view topic) const { return siphash(key, topic); }
  };
  std::unordered_map<std::string_view, std::unique_ptr<Channel>, TopicHash> channels_;  // keys are their topics' names
  std::unordered_map<std::string_view, std::unique_ptr<HeldTopic>, TopicHash> held_;    // likewise
};

}  // namespace rt::channels
