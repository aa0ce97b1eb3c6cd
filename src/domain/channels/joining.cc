// Joining: the checks in their order, and what each failure is answered with (protocol.md 4).

#include <utility>

#include "domain/channels/channel_set.h"
#include "domain/channels/permissions.h"
#include "protocol/json/value.h"

namespace rt::channels {
namespace {

std::string_view code_of(TokenFaultKind kind) {
  switch (kind) {
    case TokenFaultKind::kMalformed:
      return "MalformedJWT";
    case TokenFaultKind::kNoKey:
    case TokenFaultKind::kNoKeyForKid:
      return "JwtSignerError";
    case TokenFaultKind::kBadSignature:
      return "JwtSignatureError";
    case TokenFaultKind::kExpired:
    case TokenFaultKind::kMissingClaims:
      return "InvalidJWTToken";
    case TokenFaultKind::kOther:
    case TokenFaultKind::kMalformedPercent:
      break;
  }
  return "UnknownErrorOnChannel";
}

std::string reason_of(std::string_view code, std::string_view text) {
  return std::string(code) + ": " + std::string(text);
}

}  // namespace

std::string ChannelSet::close_frame_of(const Channel& channel) const {
  return phoenix::encode(form_.version, {.join_ref = channel.recorded_join_ref,
                                         .ref = channel.recorded_join_ref,
                                         .topic = channel.topic(),
                                         .event = "phx_close"});
}

void ChannelSet::cut(std::string_view topic, Actions& out) {
  out.push_back(LogLine{LogLevel::kError, "SocketMemoryLimitReached", std::string(topic),
                        "cut a socket whose channels would hold more than WEBSOCKET_MAX_HEAP_SIZE bytes"});
  out.push_back(CutSocket{});
}

void ChannelSet::join(const Message& message, Actions& out) {
  const std::string_view topic = *message.topic;
  if (!topic.starts_with(kTopicPrefix)) return on_unjoined(message, out);
  if (channels_.size() >= kChannelsPerSocketMax && find(topic) == nullptr) {
    return reply(message.join_ref, message, "error", R"({"reason":"too many channels joined"})", out);
  }
  has_tried_to_join_ = true;
  // A join of a joined topic replaces the channel, silently and whatever becomes of the new one.
  std::string close_of_replaced;
  if (Channel* replaced = find(topic)) {
    close_of_replaced = close_frame_of(*replaced);
    remove(*replaced);
  }

  auto admitted = admit(message, out);
  if (!admitted) return refuse_join(message, admitted.error(), std::move(close_of_replaced), out);
  if (admitted->request.is_private) return ask_to_join(message, *admitted, std::move(close_of_replaced), out);
  WaitingFrame nothing;  // is waited for in a public channel
  complete_join(message, admitted->request, admitted->token, Rights::all(), nothing, std::move(close_of_replaced), out);
}

void ChannelSet::complete_join(const Message& message, const JoinRequest& request, const TokenRef& token,
                               const Rights& rights, WaitingFrame& frame, std::string close_of_replaced, Actions& out) {
  const auto replay = wanted_replay(request, rights, message.topic->substr(kTopicPrefix.size()));
  if (!replay) {
    const auto& [code, text] = replay.error();
    const JoinFault fault{.code = code, .reason = reason_of(code, text), .holds_slot = true};
    return refuse_join(message, fault, std::move(close_of_replaced), out);
  }
  auto joined = make_channel(message, request, token, rights);
  if (!joined) return refuse_join(message, joined.error(), std::move(close_of_replaced), out);
  if (*replay) return ask_replay(*std::move(joined), std::move(frame), std::move(close_of_replaced), **replay, out);
  enter(message, request, *std::move(joined), std::move(close_of_replaced), {}, out);
}

void ChannelSet::enter(const Message& message, const JoinRequest& request, std::unique_ptr<Channel> joined,
                       std::string close_of_replaced, Past past, Actions& out) {
  const std::string_view topic = *message.topic;
  Channel& channel = *joined;
  channel.changes = wanted_changes(request, channel.sub_topic());
  channel.counted_bytes = channel.bytes();
  if (channel_bytes_ + channel.counted_bytes > host_.rules().socket_bytes_max) {
    return cut(topic, out);
  }
  channel_bytes_ += channel.counted_bytes;
  channels_.emplace(std::string_view(channel.topic()), std::move(joined));
  host_.note_join(ChannelHost::JoinResult::kOk);
  host_.count_user();
  if (static_cast<std::int64_t>(held_slots()) == host_.tenant().limits.channels_per_client_max) {
    out.push_back(LogLine{LogLevel::kError, "ChannelRateLimitReached", std::string(topic),
                          "this was the last channel that the client may have"});
  }
  const std::string echo = channel.changes == nullptr ? "[]" : echo_change_entries(channel.changes->entries);
  reply(channel.recorded_join_ref, message, "ok", "{\"postgres_changes\":" + echo + "}", out);
  if (!close_of_replaced.empty()) out.push_back(SendFrame{std::move(close_of_replaced)});
  tell_past(channel, std::move(past), out);
  if (channel.changes != nullptr) subscribe_to_changes(channel);
  tell_if_streaming(channel, out);
  confirm_later(channel);
  begin_presence(channel, out);
}

ChannelSet::JoinFault ChannelSet::no_room_for_user() {
  constexpr std::string_view kCode = "ConnectionRateLimitReached";
  return {.code = kCode, .reason = reason_of(kCode, "Too many connected users")};
}

// The checks that need no database.
Result<ChannelSet::Admitted, ChannelSet::JoinFault> ChannelSet::admit(const Message& message, Actions& out) {
  const std::string_view topic = *message.topic;
  const auto refuse = [](JoinFault fault) { return tl::make_unexpected(std::move(fault)); };
  const auto refuse_with = [&refuse](std::string_view code, std::string_view text) {
    return refuse({.code = code, .reason = reason_of(code, text)});
  };
  const std::string_view sub_topic = topic.substr(kTopicPrefix.size());
  if (sub_topic.empty()) return refuse_with("TopicNameRequired", "You must provide a topic name");
  const auto* payload = std::get_if<phoenix::JsonPayload>(&message.payload);
  auto request = payload != nullptr ? parse_join(*payload) : std::nullopt;
  if (!request) return refuse_with("UnknownErrorOnChannel", "the payload of a join must be a JSON object");
  if (!request->invalid_fields.empty()) {
    out.push_back(LogLine{LogLevel::kError, "InvalidJoinPayload", std::string(topic),
                          "took the default for: " + request->invalid_fields});
  }
  if (host_.is_draining()) return refuse_with("RealtimeRestarting", "Realtime is restarting, please standby");
  if (host_.tenant().private_only && !request->is_private) {
    return refuse_with("PrivateOnly", "This project only allows private channels");
  }
  if (!host_.user_has_room()) return refuse(no_room_for_user());
  if (host_.joins_are_over_limit()) {
    // The counter has said it in the log, once for all.
    return refuse({.code = "ClientJoinRateLimitReached",
                   .reason = reason_of("ClientJoinRateLimitReached", "Too many joins per second"),
                   .is_logged = false,
                   .closes_socket = true});
  }
  host_.count_join();
  if (static_cast<std::int64_t>(held_slots()) >= host_.tenant().limits.channels_per_client_max) {
    return refuse_with("ChannelRateLimitReached", "Too many channels");
  }

  // From here on a failing join counts as a channel until it is answered.
  auto token = channel_token(*request);
  if (!token) return tl::make_unexpected(token.error());
  return Admitted{*std::move(request), *std::move(token)};
}

// The checks that come after those of the database.
Result<std::unique_ptr<Channel>, ChannelSet::JoinFault> ChannelSet::make_channel(const Message& message,
                                                                                 const JoinRequest& request,
                                                                                 const TokenRef& token,
                                                                                 const Rights& rights) {
  const auto refuse_with = [](std::string_view code, std::string_view text) {
    return tl::make_unexpected(JoinFault{.code = code, .reason = reason_of(code, text), .holds_slot = true});
  };
  if (!request.structural_fault.empty()) return refuse_with("UnknownErrorOnChannel", request.structural_fault);

  const Privacy privacy = request.is_private ? Privacy::kPrivate : Privacy::kPublic;
  const TopicKey key{host_.tenant().external_id, privacy, *message.topic};
  auto channel = std::make_unique<Channel>(*this, host_.topics(), key, socket_, form_);
  channel->seat.set_rights(rights);
  channel->seat.set_taken_at(host_.now());
  channel->recorded_join_ref = message.join_ref;
  channel->join_ref = message.join_ref == phoenix::kNull ? message.ref : message.join_ref;
  channel->ack = request.ack;
  channel->self = request.self;
  channel->presence_enabled = request.presence_enabled || host_.tenant().presence_enabled;
  channel->token = token;
  if (request.presence_key) {
    channel->presence = std::make_unique<ChannelPresence>();
    channel->presence->key = std::make_unique<const std::string>(*request.presence_key);
  }
  if (request.replication_ready) channel->replication_ready_by = host_.now() + host_.rules().replication_ready_timeout;
  return channel;
}

Result<TokenRef, ChannelSet::JoinFault> ChannelSet::channel_token(const JoinRequest& request) {
  const auto token =
      host_.verify(request.token ? std::string_view(*request.token) : std::string_view(connection_token_->text));
  if (!token) {
    const TokenFault& fault = token.error();
    JoinFault out{
        .code = code_of(fault.kind), .reason = reason_of(code_of(fault.kind), describe(fault)), .holds_slot = true};
    if (fault.kind == TokenFaultKind::kOther) out.reason = "Unknown Error on Channel";
    if (fault.kind == TokenFaultKind::kExpired || fault.kind == TokenFaultKind::kMissingClaims)
      out.level = LogLevel::kWarning;
    return tl::make_unexpected(std::move(out));
  }
  // An `exp` with a fraction may lie ahead and yet round to now.
  if ((*token)->claims.expires_at <= host_.unix_now()) {
    return tl::make_unexpected(JoinFault{.code = "InvalidJWTToken",
                                         .reason = reason_of("InvalidJWTToken", "Token expiration time is invalid"),
                                         .holds_slot = true});
  }
  return *token;
}

void ChannelSet::refuse_join(const Message& message, const JoinFault& fault, std::string close_of_replaced,
                             Actions& out) {
  host_.note_join(ChannelHost::JoinResult::kError);
  if (fault.is_logged) {
    out.push_back(LogLine{fault.level, fault.code, std::string(*message.topic),
                          fault.log_text.empty() ? fault.reason : fault.log_text});
  }
  const std::string payload = R"({"status":"error","response":{"reason":)" + json::quoted(fault.reason) + "}}";
  Refusal refusal{.reply = phoenix::encode(form_.version, {.join_ref = message.join_ref,
                                                           .ref = message.ref,
                                                           .topic = *message.topic,
                                                           .event = "phx_reply",
                                                           .payload = payload}),
                  .close_of_replaced = std::move(close_of_replaced),
                  .closes_socket = fault.closes_socket,
                  .holds_slot = fault.holds_slot};
  const std::chrono::milliseconds backoff = host_.rules().error_backoff;
  if (backoff.count() == 0) return answer(refusal, out);
  hold(std::make_unique<HeldTopic>(*this, std::string(*message.topic), std::move(refusal)), backoff);
}

}  // namespace rt::channels
