// What the channels of a socket need from the service that owns it, in their own words.
#pragma once

#include <chrono>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/timing_wheel.h"
#include "domain/channels/actions.h"
#include "domain/channels/topic_table.h"
#include "model/changes.h"
#include "model/tenant.h"
#include "model/token.h"

namespace rt::channels {

struct ChannelRules {
  // What the channels of one socket may hold in memory: their names, refs and tokens, which are as long as the client
  // likes.
  std::size_t socket_bytes_max = 50'000'000;
  std::chrono::milliseconds error_backoff{5'000};  // how long a refused join waits for its answer
  std::chrono::milliseconds token_confirm_interval{300'000};
  std::chrono::milliseconds replication_ready_timeout{60'000};
  std::chrono::milliseconds replication_check_interval{500};
  std::chrono::milliseconds rights_timeout{30'000};  // who answers has shorter ones of his own
  std::chrono::milliseconds replay_timeout{30'000};  // likewise
  // Of one replay: all of it goes into the queue of the socket at once. The oldest messages are left out above it.
  std::size_t replay_bytes_max = std::size_t{8} << 20;
  // Live messages that are kept for the channels of one socket that still wait for theirs; above it the join fails.
  std::size_t replay_live_bytes_max = std::size_t{8} << 20;
  // How often the subscriptions of one channel are asked for anew because the client sends other tokens: each time all
  // of their text is gone through again.
  std::chrono::milliseconds changes_renewal_interval{1'000};
  // Of one channel, where the tenant has no numbers of its own.
  std::int64_t presence_events_max = 5;  // in a window
  std::chrono::milliseconds presence_window{30'000};
  // What is tracked, with its key: a diff tells it and the one that it replaces.
  std::size_t presence_bytes_max = 16 * 1024 * 1024 / 5;
};

class ChannelHost {
 public:
  virtual ~ChannelHost() = default;

  virtual Time now() const = 0;
  virtual UnixSeconds unix_now() const = 0;
  virtual TimingWheel& wheel() = 0;
  virtual TopicTable& topics() = 0;
  virtual const ChannelRules& rules() const = 0;

  virtual const TenantRecord& tenant() const = 0;
  virtual bool is_draining() const = 0;  // the node takes no new joins

  virtual Result<TokenRef, TokenFault> verify(std::string_view text) = 0;
  virtual Result<void, TokenFault> confirm(const Token& token) = 0;

  // Counted users of the tenant: sockets that have joined once. True when this socket is counted or there is room.
  virtual bool user_has_room() const = 0;
  virtual void count_user() = 0;  // idempotent

  // The tenant has joined so often lately that it has to wait.
  virtual bool joins_are_over_limit() = 0;
  virtual void count_join() = 0;
  enum class JoinResult : std::uint8_t { kOk, kError };
  virtual void note_join(JoinResult result) = 0;  // how a join ended, for the metrics
  virtual void note_message() = 0;                // a joined channel has one to handle; likewise
  virtual void count_event() = 0;                 // something of this client that counts as an event of the tenant
  virtual void count_deliveries(std::uint64_t broadcasts) = 0;  // that it gets later than others; events likewise
  virtual void note_replayed(std::uint64_t messages, std::uint64_t left_out) = 0;  // for the metrics
  virtual void note_replay_failed() = 0;                                           // likewise
  virtual bool is_streaming() = 0;  // rows of the tenant's database reach its channels now

  // Presence has its home elsewhere. What is said to it of one channel takes effect there in this order, after the
  // call. `id` is that of the channel; leave_presence() ends all that is known of it.
  virtual std::uint64_t take_presence_id() = 0;
  // The key of a channel that was given none: unique, and always the same.
  virtual std::string presence_key(std::uint64_t id) const = 0;
  virtual void ask_presence_state(const TopicKey& topic, std::uint64_t id) = 0;
  virtual void track(const TopicKey& topic, std::uint64_t id, const std::string& key, std::string_view payload) = 0;
  virtual void untrack(const TopicKey& topic, std::uint64_t id) = 0;
  virtual void leave_presence(const TopicKey& topic, std::uint64_t id) = 0;
  // The tenant has had so much of it lately that it has to stop.
  virtual bool presence_is_over_limit() = 0;
  virtual void count_presence_state() = 0;                   // as one event of it
  virtual void count_track(std::uint64_t payload_size) = 0;  // likewise; as the limit of a payload measures it
  enum class PresenceEnd : std::uint8_t { kClientRate, kTenantRate, kSize, kFull };
  virtual void note_presence_end(PresenceEnd why) = 0;  // a channel is closed for what it tracks

  // Row changes come from the tenant's database. What is said of one channel takes effect there in this order, after
  // the call: notices come by ChannelSet::on_changes_notice(). The worker of the question's id is for the service to
  // fill in. unsubscribe_from_changes() ends all that is known of a channel.
  virtual std::uint64_t take_changes_id() = 0;
  virtual void subscribe_to_changes(ChangesQuestion question) = 0;
  virtual void unsubscribe_from_changes(std::uint64_t id) = 0;

  // Actions that a deadline brought about, outside of any call from the host.
  virtual void perform(Actions& actions) = 0;
};

}  // namespace rt::channels
