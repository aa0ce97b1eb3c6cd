// An authenticated client: it carries the decisions of its channels to its connection and to the other subscribers.
//
// What it knows as its connection is a WebSocket or, where the slot says so, the polls of a client that has none.
#pragma once

#include <memory>

#include "domain/channels/channel_host.h"
#include "domain/channels/channel_set.h"
#include "io/net/worker.h"
#include "services/realtime/live_tenants.h"

namespace rt::realtime {

class Shard;

enum class Transport : std::uint8_t { kWebSocket, kLongPoll };

// No connection of a worker has this bit in its slot, sessions of long-poll clients do.
inline constexpr std::uint32_t kLongPollSlot = std::uint32_t{1} << 31;
inline bool is_long_poll(net::ConnectionId id) { return (id.slot & kLongPollSlot) != 0; }

struct SessionStart {
  channels::FrameForm form;
  std::shared_ptr<LiveTenant> tenant;
  TokenRef token;
  std::shared_ptr<const std::string> headers = nullptr;  // a JSON object for policies; null: there are none
  std::uint64_t serial = 0;                              // set by the shard: later sessions have higher ones
  LogLevel log_level = LogLevel::kError;                 // lines about this socket below it are not written
};

class Session final : public channels::ChannelHost {
 public:
  Session(Shard& shard, net::ConnectionId connection, SessionStart start);
  ~Session() override;

  net::ConnectionId connection() const { return connection_; }
  net::Reading on_message(ws::Opcode opcode, std::string_view payload);
  // It has had channels or tried to, and has none now.
  bool is_abandoned() const { return channels_.has_tried_to_join() && channels_.is_empty(); }
  // Refused joins are answered, then the socket is closed.
  void drain();
  void end_channel(std::string_view topic, std::string_view reason);
  // For a channel of this socket, if it is still there.
  void give_presence_state(std::string_view topic, std::uint64_t channel,
                           const std::shared_ptr<const std::string>& state);
  void refuse_presence(std::string_view topic, std::uint64_t channel);
  void push_presence_diff(std::string_view topic, const std::shared_ptr<const std::string>& diff);
  // Each channel is told that the server wants it so, then the socket is closed.
  void disconnect();
  // What the tenant's database said to a question of its channels.
  void on_rights(std::string_view topic, std::uint64_t ticket, const RightsAnswer& answer);
  void on_replayed(std::string_view topic, std::uint64_t ticket, ReplayAnswer answer);
  void on_changes_notice(std::string_view topic, std::uint64_t channel, const ChangesNotice& notice);
  // For a channel that waits for older messages. Ends no channel.
  void keep_live(std::string_view topic, channels::LiveMessage message);
  const LiveTenant& live_tenant() const { return *tenant_; }
  std::uint64_t serial() const { return serial_; }

  Time now() const override;
  UnixSeconds unix_now() const override;
  TimingWheel& wheel() override;
  channels::TopicTable& topics() override;
  const channels::ChannelRules& rules() const override;
  const TenantRecord& tenant() const override { return tenant_->record(worker_); }
  bool is_draining() const override;
  Result<TokenRef, TokenFault> verify(std::string_view text) override;
  Result<void, TokenFault> confirm(const Token& token) override;
  bool user_has_room() const override;
  void count_user() override;
  bool joins_are_over_limit() override;
  void count_join() override;
  void note_join(JoinResult result) override;
  void note_message() override;
  void count_event() override;
  void count_deliveries(std::uint64_t broadcasts) override;
  void note_replayed(std::uint64_t messages, std::uint64_t left_out) override;
  void note_replay_failed() override;
  bool is_streaming() override;
  std::uint64_t take_presence_id() override;
  std::string presence_key(std::uint64_t id) const override;
  void ask_presence_state(const TopicKey& topic, std::uint64_t id) override;
  void track(const TopicKey& topic, std::uint64_t id, const std::string& key, std::string_view payload) override;
  void untrack(const TopicKey& topic, std::uint64_t id) override;
  void leave_presence(const TopicKey& topic, std::uint64_t id) override;
  bool presence_is_over_limit() override;
  void count_presence_state() override;
  void count_track(std::uint64_t payload_size) override;
  void note_presence_end(PresenceEnd why) override;
  std::uint64_t take_changes_id() override;
  void subscribe_to_changes(ChangesQuestion question) override;
  void unsubscribe_from_changes(std::uint64_t id) override;
  void perform(channels::Actions& actions) override;

 private:
  channels::ChannelSet::Fragments fragments() const;
  void act(channels::SendFrame& action);
  void act(channels::SendShared& action);
  void act(channels::SendFragment& action);
  void act(channels::Publish& action);
  void act(channels::CloseSocket& action);
  void act(channels::LogLine& action);
  void act(channels::CutSocket& action);
  void act(channels::Count& action);
  void act(channels::AskRights& action);
  void act(channels::AskReplay& action);

  Shard& shard_;
  const net::ConnectionId connection_;
  const int worker_;
  const std::shared_ptr<LiveTenant> tenant_;
  const LogLevel log_level_;
  const std::uint64_t serial_;
  const std::shared_ptr<const std::string> headers_;
  bool is_counted_user_ = false;
  bool is_paused_ = false;
  channels::ChannelSet channels_;
};

// How channels name a connection.
inline bool is_long_poll(SocketId id) { return (id & kLongPollSlot) != 0; }
inline SocketId socket_id(net::ConnectionId id) { return std::uint64_t{id.generation} << 32 | id.slot; }
inline net::ConnectionId connection_id(SocketId id) {
  return {static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)};
}

}  // namespace rt::realtime
