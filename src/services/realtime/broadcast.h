// A message with its encodings, each made once, when the first receiver that wants it is found: one for each protocol
// version, plain and compressed.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "model/message.h"
#include "protocol/phoenix/message.h"
#include "protocol/websocket/deflate.h"

namespace rt::realtime {

enum class Undeliverable : std::uint8_t {
  kNot,         // it can be delivered
  kByNature,    // this version has no form for it; it is dropped silently
  kFrameLimit,  // a field is too long for a binary frame
};

class Broadcast : public std::enable_shared_from_this<Broadcast> {  // thread-safe
 public:
  explicit Broadcast(Message message) : message_(std::move(message)) {}

  const Message& message() const { return message_; }

  struct Encoding {
    std::shared_ptr<const std::string> frame;  // null when it cannot be delivered
    Undeliverable why = Undeliverable::kNot;
  };
  // For receivers of that version. The frame shares this broadcast's life.
  Encoding encoding(phoenix::Version version) const;
  // The frame of a version for which there is one, compressed by whoever asks first; the plain one where compression
  // does not pay.
  std::shared_ptr<const std::string> compressed(phoenix::Version version, ws::Deflater& deflater) const;

 private:
  struct Made {
    std::once_flag once;
    std::string frame;
    Undeliverable why = Undeliverable::kNot;
    std::once_flag compressed_once;
    std::optional<std::string> compressed;
  };
  void make(phoenix::Version version, Made& made) const;

  const Message message_;
  mutable std::array<Made, 2> made_;
};

}  // namespace rt::realtime
