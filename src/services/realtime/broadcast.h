// A message, a broadcast or a change of presence or of a row, with its encodings, each made once, when the first
// receiver that wants it is found: one for each form in which receivers take it, plain, compressed and as polls give
// it, and the payload by itself. All of them share the life of the broadcast, and so keep what its message holds.
#pragma once

#include <array>
#include <atomic>
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
  // The plain one as a client without a WebSocket finds it among the messages that it polls for: a copy, made for each
  // call, which keeps nothing of this but the receipt.
  std::shared_ptr<const std::string> polled(Form form) const;
  // The payload as a fragment of a WebSocket message that is neither the first nor the last, for receivers whose
  // messages begin differently.
  std::shared_ptr<const std::string> payload_fragment() const;
  // True for the first who asks, on whichever worker: that it cannot be delivered to all is said once.
  bool claim_log_line() const { return !is_logged_.exchange(true, std::memory_order_relaxed); }

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
  mutable std::atomic<bool> is_logged_{false};
};

// What it keeps in memory on its way to a worker, but for its encodings.
inline std::size_t mail_bytes(const Broadcast& broadcast) {
  return broadcast.message().payload.size() + broadcast.message().topic.size() + sizeof(Broadcast);
}

}  // namespace rt::realtime
