// Broadcasts of a client: the size limit, the message, the answer (protocol.md 5.3).

#include "domain/channels/channel_set.h"

namespace rt::channels {
namespace {

// What a binary push would measure as a term of the reference runtime, around its event and payload.
constexpr std::uint64_t kUserJsonOverhead = 24;
constexpr std::uint64_t kUserBinaryOverhead = 26;

std::uint64_t size_of(const phoenix::JsonPayload& payload) { return 1 + payload.term_size; }
std::uint64_t size_of(const phoenix::RawPayload& payload) { return kUserBinaryOverhead + payload.bytes.size(); }
std::uint64_t size_of(const phoenix::UserPayload& payload) {
  return (payload.is_json ? kUserJsonOverhead : kUserBinaryOverhead) + payload.event.size() + payload.data.size();
}

void fill(Message& message, const phoenix::JsonPayload& payload) {
  message.kind = MessageKind::kJson;
  message.payload = payload.text;
}
void fill(Message& message, const phoenix::RawPayload& payload) {
  message.kind = MessageKind::kOpaque;
  message.payload = payload.bytes;
}
void fill(Message& message, const phoenix::UserPayload& payload) {
  message.kind = payload.is_json ? MessageKind::kUserJson : MessageKind::kUserBinary;
  message.event = payload.event;
  message.payload = payload.data;
}

}  // namespace

void ChannelSet::broadcast(Channel& channel, const Message& message, Actions& out) {
  const auto* json = std::get_if<phoenix::JsonPayload>(&message.payload);
  if (json != nullptr && json->type != json::Type::kObject) return;  // no receiver could make anything of it
  if (channel.seat.rights().broadcast_write != true) return;         // clients are not told

  host_.count_event();
  const std::uint64_t size = std::visit([](const auto& payload) { return size_of(payload); }, message.payload);
  if (size > static_cast<std::uint64_t>(host_.tenant().limits.payload_kb_max) * 1000 + 500) {
    out.push_back(Count{Dropped::kOversizedPayload});
    if (channel.ack) reply(channel.join_ref, message, "error", "\"payload_size_exceeded\"", out);
    return;
  }
  const Topic& topic = channel.seat.topic();
  rt::Message published{
      .tenant = topic.tenant, .privacy = topic.privacy, .topic = topic.name, .topic_hash = topic.hash};
  published.payload_size = size;
  std::visit([&published](const auto& payload) { fill(published, payload); }, message.payload);
  out.push_back(Publish{std::move(published), channel.self ? Echo::kIncludeSender : Echo::kSkipSender});
  if (channel.ack) reply(channel.join_ref, message, "ok", "{}", out);
}

}  // namespace rt::channels
