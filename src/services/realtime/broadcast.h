// A message, a broadcast or a change of presence, with its encodings, each made once, when the first receiver that
// wants it is found: one for each form in which receivers take it, plain and compressed, and the payload by itself.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "model/message.h"
#include "protocol/websocket/deflate.h"

namespace rt::realtime {

enum class Form : std::uint8_t {
  kV1,
  kV2,
  kV2Text,  // version 2 where binary frames cannot go; equal to kV2 for all that is text there
};

enum class Undeliverable : std::uint8_t {
  kNot,         // it can be delivered
  kByNature,    // this version has no form for it; it is dropped silently
  kFrameLimit,  // a field is too long for a binary frame
  kTextOnly,    // bytes, and the receiver could only be sent text
};

class Broadcast : public std::enable_shared_from_this<Broadcast> {  // thread-safe
 public:
  explicit Broadcast(Message message) : message_(std::move(message)) {}

  const Message& message() const { return message_; }

  struct Encoding {
    std::shared_ptr<const std::string> frame;  // null when it cannot be delivered
    Undeliverable why = Undeliverable::kNot;
  };
  // For receivers of that form. The frame shares this broadcast's life.
  Encoding encoding(Form form) const;
  // The frame of a form for which there is one, compressed by whoever asks first; the plain one where compression does
  // not pay.
  std::shared_ptr<const std::string> compressed(Form form, ws::Deflater& deflater) const;
  // The payload as a fragment of a WebSocket message that is neither the first nor the last, for receivers whose
  // messages begin differently.
  std::shared_ptr<const std::string> payload_fragment() const;

 private:
  struct Made {
    std::once_flag once;
    std::string frame;
    Undeliverable why = Undeliverable::kNot;
    std::once_flag compressed_once;
    std::optional<std::string> compressed;
  };
  Made& made(Form form) const;
  void make(Form form, Made& made) const;

  const Message message_;
  mutable std::array<Made, 3> made_;
  mutable std::once_flag fragment_once_;
  mutable std::string fragment_;
};

}  // namespace rt::realtime
