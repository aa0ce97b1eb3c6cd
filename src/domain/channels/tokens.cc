// A channel's token after the join: it is looked at again from time to time, and the client may send a new one
// (protocol.md 8).

#include <algorithm>

#include "domain/channels/channel_set.h"
#include "domain/channels/permissions.h"
#include "protocol/json/value.h"

namespace rt::channels {
namespace {

// The wording of a failed refresh differs from that of a failed join in two places.
std::string refresh_failure(const TokenFault& fault) {
  if (fault.kind == TokenFaultKind::kBadSignature) return ":signature_error";
  if (fault.kind == TokenFaultKind::kNoKey) return ":error_generating_signer";
  return describe(fault);
}

}  // namespace

// There is never a reply.
void ChannelSet::refresh_token(Channel& channel, const Message& message, Actions& out) {
  const auto* payload = std::get_if<phoenix::JsonPayload>(&message.payload);
  const auto value = payload != nullptr ? json::Value(payload->text).member("access_token") : std::nullopt;
  if (!value || (!value->is_string() && !value->is_null())) {
    host_.count_event();
    out.push_back(
        LogLine{LogLevel::kInfo, "UnknownEvent", channel.topic(), "ignored an access_token event without a token"});
    return;
  }
  if (value->is_null()) return;
  const std::string text = *value->string();
  if (text.starts_with("sb_") || text == channel.token->text) return;
  const auto token = host_.verify(text);
  if (!token) return shut_down(channel, refresh_failure(token.error()), out);
  const std::int64_t seconds_left = (*token)->claims.expires_at - host_.unix_now();
  if (seconds_left <= 0) return shut_down(channel, std::to_string(seconds_left), out);
  channel.token = *token;
  confirm_later(channel);
  if (channel.seat.topic().privacy == Privacy::kPublic) return renew_changes(channel);
  // What it may read stays until the database has spoken, so that a client that may go on misses nothing.
  Rights kept = channel.seat.rights();
  kept.broadcast_write = kept.presence_write = std::nullopt;
  channel.seat.set_rights(kept);
  ask(channel, asked_to_read(channel.presence_enabled), PendingRights::For::kNewToken, out);
}

void ChannelSet::confirm_later(Channel& channel) {
  const Duration until_expiry = std::chrono::seconds(
      std::clamp<UnixSeconds>(channel.token->claims.expires_at - host_.unix_now(), 0, 1'000'000'000));
  channel.confirm_at = host_.now() + std::min<Duration>(host_.rules().token_confirm_interval, until_expiry);
  wait(channel);
}

void ChannelSet::wait(Channel& channel) {
  Time next = channel.confirm_at;
  if (channel.replication_ready_by) {
    const Time look = host_.now() + host_.rules().replication_check_interval;
    next = std::min({next, look, *channel.replication_ready_by});
  }
  if (channel.changes != nullptr && channel.changes->renew_at) next = std::min(next, *channel.changes->renew_at);
  channel.deadline.set(host_.wheel(), next);
}

// Once.
void ChannelSet::tell_if_streaming(Channel& channel, Actions& out) {
  if (!channel.replication_ready_by || !host_.is_streaming()) return;
  channel.replication_ready_by.reset();
  const std::string payload =
      R"({"extension":"system","status":"ok","message":"Replication connection established","channel":)" +
      json::quoted(channel.sub_topic()) + "}";
  send({.join_ref = channel.join_ref, .topic = channel.topic(), .event = "system", .payload = payload}, out);
}

}  // namespace rt::channels
