// Presence of a channel: what it tracks, within which limits, and what it is told (protocol.md 6).
//
// Whether others are there is known elsewhere, at the home of the topic's presence. A channel knows its own entry.

#include <algorithm>
#include <utility>

#include "domain/channels/channel_set.h"
#include "domain/channels/permissions.h"
#include "protocol/phoenix/presence.h"

namespace rt::channels {
namespace {

using PresenceEnd = ChannelHost::PresenceEnd;

// Smaller payloads are copied for each who is sent them.
constexpr std::size_t kSharedBytesMin = 16 * 1024;

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return text;
}

std::string_view reason_of(PresenceEnd why) {
  switch (why) {
    case PresenceEnd::kClientRate:
      return "Client presence rate limit exceeded";
    case PresenceEnd::kTenantRate:
      return "Too many presence messages per second";
    case PresenceEnd::kSize:
      return "Track message size exceeded";
    case PresenceEnd::kFull:
      break;
  }
  return "Presence of this topic is full: track less in each entry, or spread its members over several topics";
}

// What a presence message wants, in lower case; empty: its event is no string. nullopt: it has none.
std::optional<std::string> event_of(const phoenix::ClientMessage& message) {
  const auto* json = std::get_if<phoenix::JsonPayload>(&message.payload);
  const auto event = json != nullptr ? json::Value(json->text).member("event") : std::nullopt;
  if (!event) return std::nullopt;
  return event->is_string() ? lower(*event->string()) : std::string();
}

}  // namespace

// --- joining and leaving

void ChannelSet::begin_presence(Channel& channel, Actions& out) {
  if (!channel.presence_enabled) return;
  channel.seat.set_presence_news(PresenceNews::kShared);
  if (channel.seat.rights().presence_read != true) return;
  if (host_.presence_is_over_limit()) return end_presence(channel, PresenceEnd::kTenantRate, out);
  host_.count_presence_state();
  channel.seat.set_presence_news(PresenceNews::kAwaitsState);
  host_.ask_presence_state(channel.seat.topic().key(), presence_of(channel).id);
}

void ChannelSet::leave_presence(const Channel& channel) {
  const bool is_known = channel.presence->is_tracked() || channel.seat.presence_news() == PresenceNews::kAwaitsState;
  if (is_known) host_.leave_presence(channel.seat.topic().key(), channel.presence->id);
}

ChannelPresence& ChannelSet::presence_of(Channel& channel) {
  if (channel.presence == nullptr) channel.presence = std::make_unique<ChannelPresence>();
  if (channel.presence->id == 0) channel.presence->id = host_.take_presence_id();
  return *channel.presence;
}

// --- what the client says

void ChannelSet::presence(Channel& channel, const Message& message, Rights rights, Actions& out) {
  const auto event = event_of(message);
  if (!event) return reply(channel.join_ref, message, "ok", "{}", out);
  if (presence_events_left(channel) <= 0) return end_presence(channel, PresenceEnd::kClientRate, out);
  if (*event == "track") return track(channel, message, rights, out);
  if (*event == "untrack") return untrack(channel, message, out);
  out.push_back(LogLine{LogLevel::kError, "UnknownPresenceEvent", channel.topic(),
                        "refused a presence message whose event is neither track nor untrack", channel.token});
  reply(channel.join_ref, message, "error", "{}", out);
}

bool ChannelSet::is_track(const Message& message) {
  return message.event == "presence" && event_of(message) == "track";
}

void ChannelSet::refuse_track(Channel& channel, const Message& message, std::string_view why, Actions& out) {
  if (presence_events_left(channel) <= 0) return end_presence(channel, PresenceEnd::kClientRate, out);
  out.push_back(LogLine{LogLevel::kError, "UnableToHandlePresence", channel.topic(), std::string(why), channel.token});
  reply(channel.join_ref, message, "error", "{}", out);
}

void ChannelSet::track(Channel& channel, const Message& message, Rights rights, Actions& out) {
  if (rights.presence_write != true)
    return refuse_track(channel, message, "refused a track: the policies do not allow it", out);
  const json::Value payload(std::get<phoenix::JsonPayload>(message.payload).text);
  const json::Value meta = payload.member("payload").value_or(json::Value("{}"));
  if (!meta.is_object()) {
    out.push_back(LogLine{LogLevel::kError, "InvalidPresencePayload", channel.topic(),
                          "refused a track whose payload is not an object", channel.token});
    return reply(channel.join_ref, message, "error", R"({"reason":"Presence track payload must be a map"})", out);
  }
  ChannelPresence& presence = presence_of(channel);
  const std::uint64_t hash = json::hash_of(host_.topics().hash_key(), meta);
  if (!presence.is_tracked() || presence.tracked_hash != hash) {
    const std::string key = presence.key != nullptr ? *presence.key : host_.presence_key(presence.id);
    const std::uint64_t size = 1 + json::walk_value(meta.text())->term_size;
    const std::size_t bytes = json::quoted_size(key) + meta.text().size();
    if (size > static_cast<std::uint64_t>(host_.tenant().limits.payload_kb_max) * 1000 + 500 ||
        bytes > host_.rules().presence_bytes_max) {
      out.push_back(Count{Dropped::kOversizedPayload});
      return end_presence(channel, PresenceEnd::kSize, out);
    }
    if (host_.presence_is_over_limit()) return end_presence(channel, PresenceEnd::kTenantRate, out);
    host_.count_track(size);
    host_.track(channel.seat.topic().key(), presence.id, key, phoenix::presence_payload(meta));
    presence.tracked_hash = hash;
    presence.tracked_bytes = static_cast<std::uint32_t>(bytes);
    channel.presence_enabled = true;
    if (channel.seat.presence_news() == PresenceNews::kNot) channel.seat.set_presence_news(PresenceNews::kByChannel);
  }
  channel.seat.set_rights(rights);
  ++presence.events_in_window;
  reply(channel.join_ref, message, "ok", "{}", out);
  count_again(channel, out);
}

void ChannelSet::untrack(Channel& channel, const Message& message, Actions& out) {
  ChannelPresence& presence = presence_of(channel);
  if (std::exchange(presence.tracked_bytes, 0) > 0) host_.untrack(channel.seat.topic().key(), presence.id);
  ++presence.events_in_window;
  reply(channel.join_ref, message, "ok", "{}", out);
  count_again(channel, out);
}

// A window begins with the first event after the end of the last one.
std::int64_t ChannelSet::presence_events_left(Channel& channel) {
  const TenantLimits& limits = host_.tenant().limits;
  const auto own = [](const std::optional<std::int64_t>& number) { return number && *number > 0; };
  const Duration window = own(limits.client_presence_window_ms)
                              ? std::chrono::milliseconds(*limits.client_presence_window_ms)
                              : host_.rules().presence_window;
  const std::int64_t max =
      own(limits.client_presence_events_max) ? *limits.client_presence_events_max : host_.rules().presence_events_max;
  ChannelPresence& presence = presence_of(channel);
  if (presence.events_in_window == 0 || host_.now() > presence.window_begin + window) {
    presence.window_begin = host_.now();
    presence.events_in_window = 0;
  }
  return max - presence.events_in_window;
}

// What is tracked counts as memory that the socket holds.
void ChannelSet::count_again(Channel& channel, Actions& out) {
  channel_bytes_ -= std::exchange(channel.counted_bytes, channel.bytes());
  channel_bytes_ += channel.counted_bytes;
  if (channel_bytes_ > host_.rules().socket_bytes_max) cut(channel.topic(), out);
}

void ChannelSet::end_presence(Channel& channel, PresenceEnd why, Actions& out) {
  host_.note_presence_end(why);
  if (why == PresenceEnd::kClientRate) {
    out.push_back(LogLine{LogLevel::kError, "ClientPresenceRateLimitReached", channel.topic(),
                          "closed a channel that sent more presence messages in a window than it may", channel.token});
  }
  if (why == PresenceEnd::kFull) {
    out.push_back(
        LogLine{LogLevel::kError, "UnableToTrackPresence", channel.topic(),
                "closed a channel whose entry does not fit into the state of its topic, which may have half of "
                "SEND_QUEUE_BYTES_MAX",
                channel.token});
  }
  shut_down(channel, reason_of(why), out);
}

// --- what it is told

void ChannelSet::give_presence_state(std::string_view topic, std::uint64_t id,
                                     const std::shared_ptr<const std::string>& state, Fragments fragments,
                                     Actions& out) {
  Channel* const channel = find_present(topic, id);
  if (channel == nullptr) return;
  channel->seat.set_presence_news(PresenceNews::kShared);
  send_shared(*channel, "presence_state", state, fragments, out);
}

void ChannelSet::push_presence_diff(std::string_view topic, const std::shared_ptr<const std::string>& diff,
                                    Fragments fragments, Actions& out) {
  if (const Channel* channel = find(topic)) send_shared(*channel, "presence_diff", diff, fragments, out);
}

void ChannelSet::send_shared(const Channel& channel, std::string_view event,
                             const std::shared_ptr<const std::string>& payload, Fragments fragments, Actions& out) {
  const phoenix::ServerMessage message{.join_ref = channel.join_ref,
                                       .topic = channel.topic(),
                                       .event = event,
                                       .payload = ws::parse_server_frame(*payload).payload};
  if (fragments == Fragments::kNotTaken || payload->size() < kSharedBytesMin) return send(message, out);
  const auto [before, after] = phoenix::encode_around(form_.version, message);
  const auto fragment = [](std::string bytes) {
    return SendFragment{std::make_shared<const std::string>(std::move(bytes))};
  };
  out.push_back(fragment(ws::make_fragment(ws::Opcode::kText, ws::Fragment::kMoreFollow, before)));
  out.push_back(SendFragment{payload});
  out.push_back(fragment(ws::make_fragment(ws::Opcode::kContinuation, ws::Fragment::kLast, after)));
}

void ChannelSet::refuse_presence(std::string_view topic, std::uint64_t id, Actions& out) {
  if (Channel* channel = find_present(topic, id)) end_presence(*channel, PresenceEnd::kFull, out);
}

Channel* ChannelSet::find_present(std::string_view topic, std::uint64_t id) {
  Channel* const channel = find(topic);
  return channel != nullptr && channel->presence != nullptr && channel->presence->id == id ? channel : nullptr;
}

}  // namespace rt::channels
