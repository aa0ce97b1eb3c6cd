#include "services/realtime/broadcast.h"

#include <optional>

#include "base/check.h"
#include "protocol/json/value.h"
#include "protocol/phoenix/encoder.h"

namespace rt::realtime {
namespace {

using phoenix::Version;

std::string text_frame(Version version, const Message& message, std::string_view payload) {
  return phoenix::encode(version, {.topic = message.topic, .event = "broadcast", .payload = payload});
}

// A user broadcast as the JSON receivers know it. nullopt: its payload calls itself JSON and is not.
std::optional<std::string> user_payload(const Message& message) {
  const auto document = json::walk_document(message.payload);
  if (!document) return std::nullopt;
  std::string payload = R"({"type":"broadcast","event":)";
  json::append_quoted(payload, message.event);
  payload.append(",\"payload\":").append(document->text).append("}");
  return payload;
}

}  // namespace

Broadcast::Encoding Broadcast::encoding(Version version) const {
  Made& made = made_[static_cast<std::size_t>(version)];
  std::call_once(made.once, [&] { make(version, made); });
  if (made.why != Undeliverable::kNot) return {nullptr, made.why};
  return {std::shared_ptr<const std::string>(shared_from_this(), &made.frame), Undeliverable::kNot};
}

std::shared_ptr<const std::string> Broadcast::compressed(Version version, ws::Deflater& deflater) const {
  Encoding plain = encoding(version);
  RT_CHECK(plain.frame != nullptr);
  Made& made = made_[static_cast<std::size_t>(version)];
  std::call_once(made.compressed_once, [&] { made.compressed = deflater.compress(made.frame); });
  if (!made.compressed) return plain.frame;
  return {shared_from_this(), &*made.compressed};
}

void Broadcast::make(Version version, Made& made) const {
  const bool is_v1 = version == Version::kV1;
  std::optional<std::string> frame;
  switch (message_.kind) {
    case MessageKind::kJson:
      made.frame = text_frame(version, message_, message_.payload);
      return;
    case MessageKind::kUserJson:
      if (is_v1) {
        const auto payload = user_payload(message_);
        if (payload) {
          made.frame = text_frame(version, message_, *payload);
        } else {
          made.why = Undeliverable::kByNature;
        }
        return;
      }
      frame = phoenix::encode_user_broadcast({message_.topic, message_.event, {}, true, message_.payload});
      break;
    case MessageKind::kUserBinary:
      if (!is_v1) frame = phoenix::encode_user_broadcast({message_.topic, message_.event, {}, false, message_.payload});
      break;
    case MessageKind::kOpaque:
      if (!is_v1) frame = phoenix::encode_raw_broadcast(message_.topic, "broadcast", message_.payload);
      break;
  }
  if (frame) {
    made.frame = std::move(*frame);
  } else {
    made.why = is_v1 ? Undeliverable::kByNature : Undeliverable::kFrameLimit;
  }
}

}  // namespace rt::realtime
