// A worker's share of the realtime service: its sessions, its topics, and the delivery to both.
//
// Everything here happens on the worker's thread. Other shards reach this one by mail that carries a shared broadcast.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <string_view>
#include <vector>

#include "base/counter.h"
#include "base/histogram.h"
#include "base/timing_wheel.h"
#include "io/net/worker.h"
#include "services/realtime/broadcast.h"
#include "services/realtime/changes_desk.h"
#include "services/realtime/error_counts.h"
#include "services/realtime/log_throttle.h"
#include "services/realtime/long_polls.h"
#include "services/realtime/node.h"
#include "services/realtime/presence_desk.h"
#include "services/realtime/session.h"
#include "services/realtime/tenant_usage.h"
#include "services/realtime/token_table.h"

namespace rt::realtime {

// Nanoseconds that a message or a handshake took.
inline constexpr std::array<std::int64_t, 6> kHandlingBounds{10'000'000,    100'000'000,   500'000'000,
                                                             1'000'000'000, 5'000'000'000, 10'000'000'000};
using HandlingTimes = Histogram<kHandlingBounds>;

enum class HandshakeResult : std::uint8_t { kOk, kError };

// Written by the shard's thread, read by anyone.
struct ShardCounters {
  Counter sessions;    // WebSockets open now
  Counter long_polls;  // sessions of long-poll clients now
  Counter channels;    // joined now
  Counter topics;      // with subscribers now
  Counter published;
  Counter deliveries;
  Counter malformed_frames;
  Counter dropped_size;              // over the tenant's payload limit
  Counter dropped_frame_limit;       // a field over 255 bytes, for one receiver
  Counter dropped_text_only;         // bytes, for one long-poll client
  Counter memory_limit_cuts;         // sockets whose channels held too much
  Counter rest_refused_tenant_full;  // requests whose private messages there was no room for
  Counter rest_refused_node_full;
  Counter handshakes_refused;
  Counter log_lines_suppressed;
  Counter joins;                         // of all tenants, as their rates count them
  Counter events;                        // likewise
  Counter presence_events;               // likewise
  Counter change_events;                 // likewise: what channels were told of rows, once for each subscription
  Counter requests;                      // likewise, of the REST API
  Counter joins_ok;                      // how joins over WebSocket ended
  Counter joins_refused;                 // likewise
  Counter long_poll_joins_ok;            // how joins over long-poll ended
  Counter long_poll_joins_refused;       // likewise
  Counter long_polls_refused;            // sessions, because there were too many
  Counter long_poll_posts_too_large;     // refused: too many frames, or one too large
  Counter long_poll_posts_over_limit;    // refused: too much waited to be worked off
  Counter long_polls_slow;               // sessions ended because too much waited for their next poll
  Counter long_polls_over_worker_cap;    // likewise, the largest when all of a worker were too large
  Counter long_polls_forgotten;          // polls whose client went before there was an answer
  Counter long_poll_frames_dropped;      // with them
  Counter long_poll_frames_unfetched;    // that waited for a poll which never came
  Counter join_limit_triggers;           // how often a tenant reached its join rate
  Counter tenants_over_join_rate;        // now, of those that this worker watches
  Counter event_limit_triggers;          // how often a tenant reached its event rate
  Counter tenants_over_event_rate;       // now, likewise
  Counter presence_limit_triggers;       // how often a tenant reached its rate of presence events
  Counter tenants_over_presence_rate;    // now, likewise
  Counter replays;                       // joins that were told of the time before
  Counter replayed_messages;             // by them
  Counter replay_messages_left_out;      // because all of them were too large together
  Counter replays_failed;                // joins that were refused because that could not be had
  Counter presences;                     // entries that are kept here now
  Counter presence_diffs;                // told from here
  Counter presence_deliveries;           // of those, to members here
  Counter presence_states;               // given from here
  std::array<Counter, 4> presence_ends;  // channels closed for what they tracked, by ChannelHost::PresenceEnd
  Counter change_deliveries;             // of messages about rows, to channels here
  Counter change_limit_triggers;         // how often a tenant reached its rate of those
  Counter tenants_over_change_rate;      // now, likewise
  Counter request_limit_triggers;        // how often a tenant reached its rate of REST requests
  Counter tenants_over_request_rate;     // now, likewise
  Counter channels_over_event_rate;      // closed for it
  HandlingTimes messages;                // of joined channels
  PayloadSizes broadcasts;               // of all tenants
  PayloadSizes tracks;                   // likewise
  PayloadSizes changes;                  // likewise
  ErrorCounts errors;                    // of all sockets and channels, and of those of no tenant
  std::array<HandlingTimes, 8> handshakes;

  const HandlingTimes& handshake_times(Transport transport, HandshakeResult result, phoenix::Version version) const {
    return handshakes[static_cast<std::size_t>(transport) * 4 + static_cast<std::size_t>(result) * 2 +
                      static_cast<std::size_t>(version)];
  }
  HandlingTimes& handshake_times(Transport transport, HandshakeResult result, phoenix::Version version) {
    return const_cast<HandlingTimes&>(std::as_const(*this).handshake_times(transport, result, version));
  }
};

// What has a rate, and its limit.
struct RateKind {
  RateMeter LiveTenant::* meter;
  std::int64_t TenantLimits::* limit;
  Counter ShardCounters::* total;
  Counter ShardCounters::* triggers;
  Counter ShardCounters::* over_now;
  LogLevel level;
  std::string_view code;
  std::string_view text;
  std::string_view billed_as{};  // the name by which the log tells how much there was; empty: it does not
};
inline constexpr RateKind kJoinRate{
    .meter = &LiveTenant::joins,
    .limit = &TenantLimits::joins_per_second_max,
    .total = &ShardCounters::joins,
    .triggers = &ShardCounters::join_limit_triggers,
    .over_now = &ShardCounters::tenants_over_join_rate,
    .level = LogLevel::kCritical,
    .code = "ClientJoinRateLimitReached",
    .text =
        "Too many joins per second: joins and connections are refused until the average falls below "
        "max_joins_per_second of the tenant"};
inline constexpr RateKind kEventRate{
    .meter = &LiveTenant::events,
    .limit = &TenantLimits::events_per_second_max,
    .total = &ShardCounters::events,
    .triggers = &ShardCounters::event_limit_triggers,
    .over_now = &ShardCounters::tenants_over_event_rate,
    .level = LogLevel::kError,
    .code = "MessagePerSecondRateLimitReached",
    .text =
        "Too many messages per second: channels are closed when they receive a broadcast until the average falls "
        "below max_events_per_second of the tenant",
    .billed_as = "[:realtime, :rate_counter, :channel, :events]"};

// What is above it is left out by whoever reads the rows.
inline constexpr RateKind kChangeRate{
    .meter = &LiveTenant::changes,
    .limit = &TenantLimits::events_per_second_max,
    .total = &ShardCounters::change_events,
    .triggers = &ShardCounters::change_limit_triggers,
    .over_now = &ShardCounters::tenants_over_change_rate,
    .level = LogLevel::kError,
    .code = "MessagePerSecondRateLimitReached",
    .text =
        "Too many postgres changes messages per second: row changes are left out until the average falls below "
        "max_events_per_second of the tenant",
    .billed_as = "[:realtime, :rate_counter, :channel, :db_events]"};

// A channel is closed by it when it tracks or joins while the average is above the limit.
inline constexpr RateKind kPresenceRate{
    .meter = &LiveTenant::presence,
    .limit = &TenantLimits::presence_events_per_second_max,
    .total = &ShardCounters::presence_events,
    .triggers = &ShardCounters::presence_limit_triggers,
    .over_now = &ShardCounters::tenants_over_presence_rate,
    .level = LogLevel::kError,
    .code = "PresenceRateLimitReached",
    .text =
        "Too many presence events per second: channels that track, or join with presence, are closed until the average "
        "falls to max_presence_events_per_second of the tenant",
    .billed_as = "[:realtime, :rate_counter, :channel, :presence_events]"};
inline constexpr RateKind kRequestRate{
    .meter = &LiveTenant::requests,
    .limit = &TenantLimits::events_per_second_max,
    .total = &ShardCounters::requests,
    .triggers = &ShardCounters::request_limit_triggers,
    .over_now = &ShardCounters::tenants_over_request_rate,
    .level = LogLevel::kWarning,
    .code = "RequestRateLimitReached",
    .text =
        "Too many REST requests per second: they are refused until the average falls below max_events_per_second of "
        "the tenant"};

// What an operator changed of a tenant.
struct RecordChange {
  std::shared_ptr<const TenantRecord> record;  // null: the same, and known as it was where the tenant is gone
  bool is_gone = false;
  bool keys = false;           // its tokens have to be verified anew
  bool disconnects = false;    // all its sockets
  bool event_rate = false;     // this limit
  bool join_rate = false;      // this limit
  bool presence_rate = false;  // this limit
};

class Shard final : public net::MessageHandler {
 public:
  using Answer = LongPolls::Answer;

  // `node` and `worker` outlive the shard; no connection of the worker may be served by it after its destruction.
  Shard(Node& node, net::Worker& worker);
  ~Shard() override;

  // Upgrades the connection and opens its session.
  void open(net::ConnectionId connection, std::string_view upgrade_response, SessionStart start);
  // Answers after the connect back-off, if the client is still there.
  void respond_later(net::ConnectionId connection, http::Response response);
  void answer_later(Answer answer, http::Response response);

  net::Reading on_message(net::ConnectionId connection, ws::Opcode opcode, std::string_view payload) override;
  void on_heard(std::chrono::nanoseconds took) override;
  void on_closed(net::ConnectionId connection) override;

  // To every subscriber of the message's topic on this node, but the given socket of this worker.
  void publish(Message message, const std::shared_ptr<LiveTenant>& tenant, SocketId but);
  // Somebody publishes it by this worker, which counts it.
  void note_published(const Message& message, LiveTenant& tenant);
  // The same to those who are to get it, by `deliver` of each worker that has any.
  void spread(const std::shared_ptr<const Broadcast>& broadcast, const std::shared_ptr<LiveTenant>& tenant,
              SocketId but);
  // To the subscribers on this worker.
  void deliver(const Broadcast& broadcast, const std::shared_ptr<LiveTenant>& tenant, SocketId but);

  // For the session of that connection, which gets the answer in a later turn, if it still is there.
  void ask_rights(net::ConnectionId connection, std::string_view tenant, channels::AskRights question);
  void on_rights(net::ConnectionId connection, std::string_view topic, std::uint64_t ticket,
                 const RightsAnswer& answer);
  // Likewise.
  void ask_replay(net::ConnectionId connection, std::string_view tenant, channels::AskReplay question);
  void on_replayed(net::ConnectionId connection, std::string_view topic, std::uint64_t ticket, ReplayAnswer answer);

  // Of broadcasts, to members here.
  void count_deliveries(const std::shared_ptr<LiveTenant>& tenant, std::uint64_t n);
  // Both may only be asked on the worker's thread; they wake the meter where it sleeps.
  void count(const std::shared_ptr<LiveTenant>& tenant, const RateKind& rate, std::uint64_t n);
  bool is_over(const std::shared_ptr<LiveTenant>& tenant, const RateKind& rate);
  // Presence goes by the average itself.
  bool presence_is_over(const std::shared_ptr<LiveTenant>& tenant);

  // For a channel of this worker; it may be gone.
  void give_presence_state(std::string_view topic, const presence::Member& member,
                           const presence::StateFragment& state);
  void refuse_presence(std::string_view topic, const presence::Member& member);

  // Likewise, by the number of its changes.
  void on_changes_notice(SocketId socket, std::string_view topic, std::uint64_t channel, const ChangesNotice& notice);

  // What a fan-out has to do besides sending: a message for a channel that still waits for older ones is kept, and what
  // cannot be delivered is counted.
  void keep_live(SocketId socket, std::string_view topic, channels::LiveMessage message);
  void count_undelivered(Undeliverable why);

  // What a worker does for a connection, for a session whatever it stands behind.
  void send(net::ConnectionId connection, const net::FrameRef& frame);
  // One that is in the form of that connection already: as a poll gives it, where that is one.
  void send_shared(net::ConnectionId connection, const net::FrameRef& frame);
  void close(net::ConnectionId connection, ws::CloseCode code);
  void cut(net::ConnectionId connection);
  void resume_reading(net::ConnectionId connection);

  // A socket or channel of the tenant (null: of none) had an error, whether it is logged or not. `code` is a literal.
  void count_error(LiveTenant* tenant, std::string_view code);
  // A channel got a message; how long that took is known when all that were read together are handled.
  void note_message() { ++messages_heard_; }
  // A handshake that began with this turn's handler is answered, or will be after the back-off.
  void note_handshake(Transport transport, HandshakeResult result, phoenix::Version version);

  // The tenant's record is another one from now on, with what follows from that for this worker's share of it.
  void change(const std::shared_ptr<LiveTenant>& tenant, const RecordChange& change);

  // Closes up to `sessions_max` sessions with 1012. Called again and again while the node drains.
  void drain(std::size_t sessions_max);

  Node& node() { return node_; }
  const Node& node() const { return node_; }
  net::Worker& worker() { return worker_; }
  LongPolls& long_polls() { return long_polls_; }
  PresenceDesk& presence() { return presence_; }
  ChangesDesk& changes() { return changes_; }
  std::uint64_t take_serial() { return next_serial_++; }
  channels::TopicTable& topics() { return topics_; }
  ShardCounters& counters() { return counters_; }
  const ShardCounters& counters() const { return counters_; }
  Result<TokenRef, TokenFault> verify(const TenantRecord& tenant, std::string_view text);
  // What a session holds must end on this thread; this need not.
  TokenRef for_other_threads(std::string_view tenant, const TokenRef& token);
  ws::Deflater& deflater() { return deflater_; }
  // Empty; for one message at a time.
  channels::Actions& scratch_actions() { return scratch_actions_; }
  // The fields name a code. Lines of one code are bounded; what is left out is counted.
  void log(LogLevel level, const LogFields& fields, std::string_view message);
  // Whether a line of that code is to be written now, for those whose fields take work; then write_log() it.
  bool may_log(LogLevel level, std::string_view code);
  void write_log(LogLevel level, const LogFields& fields, std::string_view message);
  // After sessions have acted or ended.
  void update_gauges();

 private:
  struct LateResponse;
  struct RateTick;

  struct DisconnectMail;

  Session* find(net::ConnectionId connection);
  // All sessions have a place, and keep it or move up while others come.
  std::size_t places() const { return sessions_.size() + long_polls_.slots(); }
  Session* session_at(std::size_t place);  // null: there is none
  // Those of the sessions from `begin` on that were opened before `serial`. Goes on in another turn if there are many.
  void disconnect(const std::shared_ptr<LiveTenant>& tenant, std::uint64_t serial, std::size_t begin);
  void restart(const LiveTenant& tenant, const RateKind& rate);
  void wake(const std::shared_ptr<LiveTenant>& tenant, const RateKind& rate);
  void tick(RateTick& tick);
  void note_whether_over(RateTick& tick);
  void log_usage(const RateTick& tick);
  template <class Takes, class Sent>
  std::uint64_t fan_out(const Broadcast& broadcast, const channels::Topic& topic, Takes takes, Sent sent);
  void deliver_broadcast(const Broadcast& broadcast, const channels::Topic& topic,
                         const std::shared_ptr<LiveTenant>& tenant, SocketId but);
  void deliver_presence(const Broadcast& broadcast, const channels::Topic& topic,
                        const std::shared_ptr<LiveTenant>& tenant);
  void end_channels(const std::string& topic, const std::vector<SocketId>& sockets);
  void sweep();

  Node& node_;
  net::Worker& worker_;
  ShardCounters counters_;
  LogThrottle throttle_;
  WorkerInterest interest_;
  channels::TopicTable topics_;
  TokenTable tokens_;
  channels::Actions scratch_actions_;
  ws::Deflater deflater_;
  std::uint64_t next_serial_ = 0;
  std::uint64_t messages_heard_ = 0;                // since the last on_heard()
  PresenceDesk presence_;                           // sessions leave by it
  ChangesDesk changes_;                             // likewise
  std::vector<std::unique_ptr<Session>> sessions_;  // by connection slot
  LongPolls long_polls_;
  std::list<LateResponse> late_responses_;
  std::list<RateTick> rate_ticks_;  // of the meters that this worker sums up
  Deadline sweep_due_;
};

}  // namespace rt::realtime
