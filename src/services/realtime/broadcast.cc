#include "services/realtime/broadcast.h"

#include <optional>

#include "base/check.h"
#include "protocol/json/value.h"
#include "protocol/phoenix/encoder.h"
#include "protocol/websocket/frame.h"
#include "services/realtime/poll_queue.h"

namespace rt::realtime {
namespace {

using phoenix::Version;

// It is passed on as it is, in a text.
bool is_text(const Message& message) {
  switch (message.kind) {
    case MessageKind::kJson:
    case MessageKind::kPresenceDiff:
    case MessageKind::kRowChange:
      return true;
    case MessageKind::kUserJson:
    case MessageKind::kUserBinary:
    case MessageKind::kOpaque:
      break;
  }
  return false;
}

std::string_view event_of(const Message& message) {
  if (message.kind == MessageKind::kPresenceDiff) return "presence_diff";
  return message.kind == MessageKind::kRowChange ? std::string_view(message.event) : "broadcast";
}

std::string text_frame(Version version, const Message& message, std::string_view payload) {
  return phoenix::encode(version, {.topic = message.topic, .event = event_of(message), .payload = payload});
}

bool is_stored(const Message& message) { return !message.id.empty(); }

// What is told of a row besides what it says.
std::string metadata(const Message& message) { return R"({"id":)" + json::quoted(message.id) + "}"; }

// A user broadcast as the JSON receivers know it. nullopt: its payload calls itself JSON and is not. What the database
// calls JSON is.
std::optional<std::string> user_payload(const Message& message) {
  if (is_stored(message)) {
    std::string payload = R"({"event":)";
    json::append_quoted(payload, message.event);
    payload.append(R"(,"meta":)").append(metadata(message));
    return payload.append(R"(,"payload":)").append(message.payload).append(R"(,"type":"broadcast"})");
  }
  const auto document = json::walk_document(message.payload);
  if (!document) return std::nullopt;
  std::string payload = R"({"type":"broadcast","event":)";
  json::append_quoted(payload, message.event);
  payload.append(",\"payload\":").append(document->text).append("}");
  return payload;
}

// nullopt: a field is too long for it.
std::optional<std::string> binary_frame(const Message& message) {
  if (message.kind == MessageKind::kOpaque)
    return phoenix::encode_raw_broadcast(message.topic, "broadcast", message.payload);
  const bool is_json = message.kind == MessageKind::kUserJson;
  const std::string meta = is_stored(message) ? metadata(message) : std::string();
  return phoenix::encode_user_broadcast({message.topic, message.event, meta, is_json, message.payload});
}

}  // namespace

Broadcast::Made& Broadcast::made(Form form) const {
  if (form == Form::kV2Text && is_text(message_)) form = Form::kV2;
  return made_[static_cast<std::size_t>(form)];
}

Broadcast::Encoding Broadcast::encoding(Form form) const {
  Made& made = this->made(form);
  std::call_once(made.once, [&] { make(form, made); });
  if (made.why != Undeliverable::kNot) return {nullptr, made.why};
  return {std::shared_ptr<const std::string>(shared_from_this(), &made.frame), Undeliverable::kNot};
}

std::shared_ptr<const std::string> Broadcast::compressed(Form form, ws::Deflater& deflater) const {
  Encoding plain = encoding(form);
  RT_CHECK(plain.frame != nullptr);
  Made& made = this->made(form);
  std::call_once(made.compressed_once, [&] { made.compressed = deflater.compress(made.frame); });
  if (!made.compressed) return plain.frame;
  return {shared_from_this(), &*made.compressed};
}

std::shared_ptr<const std::string> Broadcast::polled(Form form) const {
  // What waits for a poll must not keep the frames of others.
  struct Copy {
    std::string text;
    std::shared_ptr<const void> receipt;
  };
  const Encoding plain = encoding(form);
  RT_CHECK(plain.frame != nullptr);
  const auto copy = std::make_shared<const Copy>(Copy{to_message(*plain.frame), message_.receipt});
  return {copy, &copy->text};
}

std::shared_ptr<const std::string> Broadcast::payload_fragment() const {
  std::call_once(fragment_once_, [this] {
    fragment_ = ws::make_fragment(ws::Opcode::kContinuation, ws::Fragment::kMoreFollow, message_.payload);
  });
  return {shared_from_this(), &fragment_};
}

void Broadcast::make(Form form, Made& made) const {
  const Version version = form == Form::kV1 ? Version::kV1 : Version::kV2;
  std::optional<std::string> frame;
  Undeliverable why = Undeliverable::kFrameLimit;  // where there is no frame
  if (is_text(message_)) {
    frame = text_frame(version, message_, message_.payload);
  } else if (form == Form::kV2) {
    frame = binary_frame(message_);
  } else if (message_.kind == MessageKind::kUserJson) {
    why = Undeliverable::kByNature;
    if (const auto payload = user_payload(message_)) frame = text_frame(version, message_, *payload);
  } else {
    why = form == Form::kV1 ? Undeliverable::kByNature : Undeliverable::kTextOnly;
  }
  if (frame) {
    made.frame = std::move(*frame);
  } else {
    made.why = why;
  }
}

}  // namespace rt::realtime
