#include "services/realtime/session.h"

#include <utility>

#include "protocol/json/value.h"
#include "services/realtime/shard.h"

namespace rt::realtime {

Session::Session(Shard& shard, net::ConnectionId connection, SessionStart start)
    : shard_(shard),
      connection_(connection),
      worker_(shard.worker().index()),
      tenant_(std::move(start.tenant)),
      log_level_(start.log_level),
      serial_(start.serial),
      headers_(std::move(start.headers)),
      channels_(*this, socket_id(connection), start.form, std::move(start.token)) {}

Session::~Session() {
  if (is_counted_user_) tenant_->remove_user(now());
}

net::Reading Session::on_message(ws::Opcode opcode, std::string_view payload) {
  channels::Actions& actions = shard_.scratch_actions();
  channels_.handle(opcode, payload, actions);
  perform(actions);
  actions.clear();
  is_paused_ = channels_.wants_pause();
  return is_paused_ ? net::Reading::kPause : net::Reading::kGoOn;
}

void Session::drain() {
  channels::Actions actions;
  channels_.answer_refusals(actions);
  actions.push_back(channels::CloseSocket{ws::CloseCode::kServiceRestart});
  perform(actions);
}

void Session::end_channel(std::string_view topic, std::string_view reason) {
  channels::Actions actions;
  channels_.end(topic, reason, actions);
  perform(actions);
}

void Session::give_presence_state(std::string_view topic, std::uint64_t channel,
                                  const std::shared_ptr<const std::string>& state) {
  channels::Actions actions;
  channels_.give_presence_state(topic, channel, state, fragments(), actions);
  perform(actions);
}

void Session::refuse_presence(std::string_view topic, std::uint64_t channel) {
  channels::Actions actions;
  channels_.refuse_presence(topic, channel, actions);
  perform(actions);
}

void Session::push_presence_diff(std::string_view topic, const std::shared_ptr<const std::string>& diff) {
  channels::Actions actions;
  channels_.push_presence_diff(topic, diff, fragments(), actions);
  perform(actions);
}

channels::ChannelSet::Fragments Session::fragments() const {
  using Fragments = channels::ChannelSet::Fragments;
  return is_long_poll(connection_) ? Fragments::kNotTaken : Fragments::kTaken;
}

void Session::disconnect() {
  channels::Actions actions;
  channels_.answer_refusals(actions);
  channels_.disconnect(actions);
  perform(actions);
}

void Session::on_rights(std::string_view topic, std::uint64_t ticket, const RightsAnswer& answer) {
  channels::Actions actions;
  channels_.on_rights(topic, ticket, answer, actions);
  perform(actions);
}

void Session::on_replayed(std::string_view topic, std::uint64_t ticket, ReplayAnswer answer) {
  channels::Actions actions;
  channels_.on_replayed(topic, ticket, std::move(answer), actions);
  perform(actions);
}

void Session::on_changes_notice(std::string_view topic, std::uint64_t channel, const ChangesNotice& notice) {
  channels::Actions actions;
  channels_.on_changes_notice(topic, channel, notice, actions);
  perform(actions);
}

void Session::keep_live(std::string_view topic, channels::LiveMessage message) {
  channels_.keep_live(topic, std::move(message));
}

void Session::perform(channels::Actions& actions) {
  for (channels::Action& action : actions) {
    std::visit([this](auto& one) { act(one); }, action);
  }
  if (is_paused_ && !channels_.wants_pause()) {
    is_paused_ = false;
    shard_.resume_reading(connection_);
  }
}

void Session::act(channels::SendFrame& action) {
  if (is_long_poll(connection_) && ws::parse_server_frame(action.frame).opcode == ws::Opcode::kBinary)
    return shard_.counters().dropped_text_only.add();
  const auto& deflate = channels_.form().deflate;
  if (deflate && deflate->takes(action.frame.size())) {
    if (auto compressed = shard_.deflater().compress(action.frame)) action.frame = std::move(*compressed);
  }
  shard_.send(connection_, net::FrameRef(std::move(action.frame)));
}

void Session::act(channels::SendShared& action) { shard_.send_shared(connection_, net::FrameRef(action.frame)); }

void Session::act(channels::SendFragment& action) { shard_.send(connection_, net::FrameRef(action.frame)); }

void Session::act(channels::Publish& action) {
  const bool skip_sender = action.echo == channels::Echo::kSkipSender;
  shard_.publish(std::move(action.message), tenant_, skip_sender ? socket_id(connection_) : SocketId{0});
}

void Session::act(channels::CloseSocket& action) { shard_.close(connection_, action.code); }

void Session::act(channels::LogLine& action) {
  if (action.level < log_level_) return;
  if (action.level >= LogLevel::kError) shard_.count_error(tenant_.get(), action.code);
  if (!shard_.may_log(action.level, action.code)) return;
  const Claims& claims = (action.token ? action.token : channels_.connection_token())->claims;
  const auto iss = json::Value(claims.json).member("iss");
  const std::string issuer = iss && iss->is_string() ? *iss->string() : std::string();
  shard_.write_log(action.level,
                   {.tenant = tenant().external_id,
                    .error_code = action.code,
                    .topic = action.topic,
                    .subject = claims.subject,
                    .issuer = issuer,
                    .expires_at = claims.expires_at},
                   action.text);
}

void Session::act(channels::CutSocket&) {
  shard_.counters().memory_limit_cuts.add();
  shard_.cut(connection_);
}

void Session::act(channels::Count& action) {
  ShardCounters& counters = shard_.counters();
  switch (action.what) {
    case channels::Dropped::kMalformedFrame:
      return counters.malformed_frames.add();
    case channels::Dropped::kOversizedPayload:
      return counters.dropped_size.add();
    case channels::Dropped::kFrameLimit:
      return counters.dropped_frame_limit.add();
  }
}

void Session::act(channels::AskRights& action) {
  action.question.headers = headers_;
  shard_.ask_rights(connection_, tenant().external_id, std::move(action));
}

void Session::act(channels::AskReplay& action) {
  shard_.ask_replay(connection_, tenant().external_id, std::move(action));
}

Time Session::now() const { return shard_.worker().now(); }
UnixSeconds Session::unix_now() const { return shard_.worker().clock().unix_seconds(); }
TimingWheel& Session::wheel() { return shard_.worker().wheel(); }
channels::TopicTable& Session::topics() { return shard_.topics(); }
const channels::ChannelRules& Session::rules() const { return shard_.node().config.channels; }
bool Session::is_draining() const { return shard_.node().draining.load(std::memory_order_relaxed); }

Result<TokenRef, TokenFault> Session::verify(std::string_view text) { return shard_.verify(tenant(), text); }

Result<void, TokenFault> Session::confirm(const Token& token) { return auth::confirm(token.claims, unix_now()); }

bool Session::user_has_room() const {
  return is_counted_user_ || tenant_->users() < tenant().limits.concurrent_users_max;
}

void Session::count_user() {
  if (std::exchange(is_counted_user_, true)) return;
  tenant_->add_user();
  if (shard_.node().want_database && tenant_->begin_to_want_database())
    shard_.node().want_database(tenant_->external_id);
}

bool Session::joins_are_over_limit() { return shard_.is_over(tenant_, kJoinRate); }
void Session::note_join(JoinResult result) {
  ShardCounters& counters = shard_.counters();
  if (is_long_poll(connection_)) {
    (result == JoinResult::kOk ? counters.long_poll_joins_ok : counters.long_poll_joins_refused).add();
  } else {
    (result == JoinResult::kOk ? counters.joins_ok : counters.joins_refused).add();
  }
}
void Session::count_join() { shard_.count(tenant_, kJoinRate, 1); }
void Session::note_message() { shard_.note_message(); }
std::uint64_t Session::take_presence_id() { return shard_.presence().take_channel(); }
std::string Session::presence_key(std::uint64_t id) const { return shard_.presence().key_of(id); }
void Session::ask_presence_state(const TopicKey& topic, std::uint64_t id) {
  shard_.presence().ask_state(topic, id, socket_id(connection_));
}
void Session::track(const TopicKey& topic, std::uint64_t id, const std::string& key, std::string_view payload) {
  shard_.presence().track(topic, id, socket_id(connection_), key, payload);
}
void Session::untrack(const TopicKey& topic, std::uint64_t id) { shard_.presence().untrack(topic, id); }
void Session::leave_presence(const TopicKey& topic, std::uint64_t id) { shard_.presence().leave(topic, id); }
bool Session::presence_is_over_limit() { return shard_.presence_is_over(tenant_); }
void Session::count_presence_state() { shard_.count(tenant_, kPresenceRate, 1); }
void Session::count_track(std::uint64_t payload_size) {
  const auto size = static_cast<std::int64_t>(payload_size);
  shard_.counters().tracks.record(size);
  tenant_->usage(worker_).tracks.record(size);
  shard_.count(tenant_, kPresenceRate, 1);
}
void Session::note_presence_end(PresenceEnd why) {
  shard_.counters().presence_ends[static_cast<std::size_t>(why)].add();
}
std::uint64_t Session::take_changes_id() { return shard_.changes().take_channel(); }
void Session::subscribe_to_changes(ChangesQuestion question) {
  shard_.changes().subscribe(*tenant_, socket_id(connection_), channels_.form(), std::move(question));
}
void Session::unsubscribe_from_changes(std::uint64_t id) { shard_.changes().unsubscribe(*tenant_, id); }
void Session::count_event() { shard_.count(tenant_, kEventRate, 1); }
void Session::count_deliveries(std::uint64_t broadcasts) { shard_.count_deliveries(tenant_, broadcasts); }
void Session::note_replayed(std::uint64_t messages, std::uint64_t left_out) {
  shard_.counters().replays.add();
  shard_.counters().replayed_messages.add(messages);
  shard_.counters().replay_messages_left_out.add(left_out);
}
void Session::note_replay_failed() { shard_.counters().replays_failed.add(); }
bool Session::is_streaming() {
  const auto& is_streaming = shard_.node().is_streaming;
  return is_streaming && is_streaming(tenant_->external_id);
}

}  // namespace rt::realtime
