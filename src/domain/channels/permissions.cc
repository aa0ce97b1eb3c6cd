// Private channels: what they may do is asked of the tenant's database, and their topic waits meanwhile.

#include "domain/channels/permissions.h"

#include <utility>

#include "base/check.h"
#include "domain/channels/channel_set.h"

namespace rt::channels {
namespace {

constexpr std::string_view kNoDatabase = "Realtime was unable to connect to the project database";

struct FailureText {
  RightsFaultKind kind;
  std::string_view code;
  std::string_view join;  // what follows the code
  std::string_view close;
};
constexpr FailureText kFailureTexts[] = {
    {RightsFaultKind::kMissingPartition, "MissingPartition",
     "Realtime was unable to find the expected messages partition", kNoDatabase},
    {RightsFaultKind::kPoolExhausted, "IncreaseConnectionPool", "Please increase your connection pool size",
     ":increase_connection_pool"},
    {RightsFaultKind::kUnavailable, "UnableToConnectToProject", kNoDatabase, kNoDatabase},
    {RightsFaultKind::kNoSlots, "DatabaseLackOfConnections",
     "Database can't accept more connections, Realtime won't connect", ":tenant_db_too_many_connections"},
    {RightsFaultKind::kInitializing, "InitializingProjectConnection", "Connecting to the project database",
     ":initializing"},
    {RightsFaultKind::kTooManyAttempts, "DatabaseConnectionRateLimitReached",
     "Too many database connections attempts per second", ":connect_rate_limit_reached"},
    {RightsFaultKind::kSuspended, "RealtimeDisabledForTenant", "Realtime disabled for this tenant",
     ":tenant_suspended"},
};

Rights merged(Rights rights, const AskedRights& asked, const Rights& answer) {
  if (asked.broadcast_read) rights.broadcast_read = answer.broadcast_read;
  if (asked.broadcast_write) rights.broadcast_write = answer.broadcast_write;
  if (asked.presence_read) rights.presence_read = answer.presence_read;
  if (asked.presence_write) rights.presence_write = answer.presence_write;
  return rights;
}

// What was known already stays: it holds until there is a new token.
Rights with_unknown(Rights rights, const Rights& answer) {
  const auto fill = [](std::optional<bool>& right, std::optional<bool> answered) {
    if (!right) right = answered;
  };
  fill(rights.broadcast_read, answer.broadcast_read);
  fill(rights.broadcast_write, answer.broadcast_write);
  fill(rights.presence_read, answer.presence_read);
  fill(rights.presence_write, answer.presence_write);
  return rights;
}

}  // namespace

std::string no_read_right(std::string_view sub_topic) {
  return "You do not have permissions to read from this Channel topic: " + std::string(sub_topic);
}

RightsFailure describe(const RightsFault& fault, std::string_view sub_topic) {
  switch (fault.kind) {
    case RightsFaultKind::kPolicy:
      return {"RlsPolicyError", fault.text, "Unauthorized: " + no_read_right(sub_topic), no_read_right(sub_topic)};
    case RightsFaultKind::kCancelled:
      return {"QueryCanceled", fault.text, "QueryCanceled: " + fault.text, "Query was cancelled, please try again"};
    case RightsFaultKind::kOther:
      return {"UnableToSetPolicies", fault.text, std::string(kNoDatabase), std::string(kNoDatabase)};
    default:
      break;
  }
  for (const FailureText& text : kFailureTexts) {
    if (text.kind != fault.kind) continue;
    const std::string join = std::string(text.code) + ": " + std::string(text.join);
    return {text.code, fault.text.empty() ? join : std::string(text.join) + ": " + fault.text, join,
            std::string(text.close)};
  }
  RT_CHECK(false);
}

void ChannelSet::ask_to_join(const Message& message, const Admitted& admitted, std::string close_of_replaced,
                             Actions& out) {
  const std::string topic(*message.topic);
  auto held = std::make_unique<HeldTopic>(
      *this, topic, PendingJoin{{opcode_, std::string(frame_)}, admitted.token, std::move(close_of_replaced)});
  held->ticket = ++last_ticket_;
  held->asked = asked_to_read(admitted.request.presence_enabled || host_.tenant().presence_enabled);
  out.push_back(AskRights{
      topic, held->ticket, {topic.substr(kTopicPrefix.size()), admitted.token->claims, held->asked, nullptr}});
  hold(std::move(held), host_.rules().rights_timeout);
}

void ChannelSet::ask(Channel& channel, const AskedRights& asked, PendingRights::For what, Actions& out) {
  auto held = std::make_unique<HeldTopic>(*this, channel.topic(), PendingRights{what});
  held->ticket = ++last_ticket_;
  held->asked = asked;
  out.push_back(AskRights{
      channel.topic(), held->ticket, {std::string(channel.sub_topic()), channel.token->claims, asked, nullptr}});
  HeldTopic& waits = hold(std::move(held), host_.rules().rights_timeout);
  if (what == PendingRights::For::kPush) defer(waits, opcode_, frame_);
}

std::optional<AskedRights> ChannelSet::rights_needed(const Channel& channel, const Message& message) {
  const Rights& rights = channel.seat.rights();
  if (message.event == "broadcast" && !rights.broadcast_write) return kAskedToWrite;
  if ((rights.presence_write && rights.presence_read) || !is_track(message)) return std::nullopt;
  // Who joined without presence was not asked about reading it.
  return AskedRights{.broadcast_read = !rights.presence_read,
                     .broadcast_write = !rights.presence_write,
                     .presence_read = !rights.presence_read,
                     .presence_write = !rights.presence_write};
}

void ChannelSet::on_rights(std::string_view topic, std::uint64_t ticket, const RightsAnswer& answer, Actions& out) {
  const auto found = held_.find(topic);
  if (found == held_.end() || found->second->ticket != ticket) return;
  const std::unique_ptr<HeldTopic> held = take(*found->second);
  if (auto* join = std::get_if<PendingJoin>(&held->why)) {
    on_join_rights(*join, held->asked, answer, out);
  } else {
    Channel* channel = find(held->topic);
    RT_CHECK(channel != nullptr);  // when it ends its question does
    if (std::get<PendingRights>(held->why).what == PendingRights::For::kPush) {
      on_push_rights(*held, *channel, answer, out);
    } else {
      on_token_rights(*channel, held->asked, answer, out);
    }
  }
  work_off(*held, out);
}

// The join goes on from where it stopped; of its frame nothing was kept but the frame.
void ChannelSet::on_join_rights(PendingJoin& join, const AskedRights& asked, const RightsAnswer& answer, Actions& out) {
  phoenix::Decoder decoder;
  const auto message = decoder.decode(form_.version, join.frame.opcode, join.frame.bytes);
  RT_CHECK(message && message->topic);
  const auto* payload = std::get_if<phoenix::JsonPayload>(&message->payload);
  RT_CHECK(payload != nullptr);
  const auto request = parse_join(*payload);
  RT_CHECK(request);
  const std::string_view sub_topic = message->topic->substr(kTopicPrefix.size());
  const auto refuse = [&](JoinFault fault) {
    fault.holds_slot = true;
    refuse_join(*message, fault, std::move(join.close_of_replaced), out);
  };
  if (!answer) {
    const RightsFailure failure = describe(answer.error(), sub_topic);
    return refuse({.code = failure.log_code, .reason = failure.join_reason, .log_text = failure.log_text});
  }
  const Rights rights = merged({}, asked, *answer);
  if (!may_join(rights)) return refuse({.code = "Unauthorized", .reason = "Unauthorized: " + no_read_right(sub_topic)});
  // Others may have taken the room meanwhile.
  if (!host_.user_has_room()) return refuse(no_room_for_user());
  complete_join(*message, *request, join.token, rights, join.frame, std::move(join.close_of_replaced), out);
}

void ChannelSet::on_push_rights(HeldTopic& held, Channel& channel, const RightsAnswer& answer, Actions& out) {
  phoenix::Decoder decoder;
  const auto asks_for_track = [&] {
    const auto message = decoder.decode(form_.version, held.waiting.front().opcode, held.waiting.front().bytes);
    return message && is_track(*message);
  };
  if (asks_for_track()) return on_track_rights(held, channel, answer, out);
  if (answer) return channel.seat.set_rights(with_unknown(channel.seat.rights(), merged({}, held.asked, *answer)));
  const RightsFailure failure = describe(answer.error(), channel.sub_topic());
  const std::string text = std::string(failure.log_code) + ": " + failure.log_text;
  out.push_back(LogLine{LogLevel::kError, "UnableToHandleBroadcast", channel.topic(), text, channel.token});
  // Nothing is remembered, so a later push asks again. Those that came meanwhile asked the same at the same time.
  while (!held.waiting.empty()) {
    const WaitingFrame& frame = held.waiting.front();
    const auto message = decoder.decode(form_.version, frame.opcode, frame.bytes);
    if (!message || message->event != "broadcast" || !rights_needed(channel, *message)) return;
    waiting_bytes_ -= sizeof(WaitingFrame) + frame.bytes.size();
    held.waiting.pop_front();
  }
}

// The track is the first of what waits. Only one that succeeds leaves behind what was found out for it.
void ChannelSet::on_track_rights(HeldTopic& held, Channel& channel, const RightsAnswer& answer, Actions& out) {
  const WaitingFrame frame = std::move(held.waiting.front());
  held.waiting.pop_front();
  waiting_bytes_ -= sizeof(WaitingFrame) + frame.bytes.size();
  phoenix::Decoder decoder;
  const auto message = decoder.decode(form_.version, frame.opcode, frame.bytes);
  RT_CHECK(message);
  if (answer) {
    host_.note_message();
    return presence(channel, *message, with_unknown(channel.seat.rights(), merged({}, held.asked, *answer)), out);
  }
  const RightsFailure failure = describe(answer.error(), channel.sub_topic());
  refuse_track(channel, *message, std::string(failure.log_code) + ": " + failure.log_text, out);
}

void ChannelSet::on_token_rights(Channel& channel, const AskedRights& asked, const RightsAnswer& answer, Actions& out) {
  if (!answer) {
    const RightsFailure failure = describe(answer.error(), channel.sub_topic());
    out.push_back(LogLine{LogLevel::kError, failure.log_code, channel.topic(), failure.log_text, channel.token});
    return shut_down(channel, failure.close_reason, out);
  }
  const Rights old = channel.seat.rights();
  const Rights now = merged({}, asked, *answer);
  if (!may_join(now)) return shut_down(channel, no_read_right(channel.sub_topic()), out);
  const bool has_lost_one = (old.broadcast_read == true && now.broadcast_read == false) ||
                            (old.presence_read == true && now.presence_read == false);
  if (has_lost_one) {
    return shut_down(
        channel, "You no longer have permission to read from this Channel topic: " + std::string(channel.sub_topic()),
        out);
  }
  channel.seat.set_rights(now);
  renew_changes(channel);
}

}  // namespace rt::channels
