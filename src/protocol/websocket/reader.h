// Messages out of the bytes of a WebSocket client, however they are cut.
//
// Nearly all messages arrive whole in one read: those are unmasked where they lie and handed out without a copy. Only
// what is incomplete is gathered on the heap, so a reader between messages is one null pointer. Memory grows with the
// bytes that have arrived, never with the length that a header announces. Compressed messages are gathered as they came
// and inflated whole, so that all readers of a thread can share an inflater.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/websocket/frame.h"

namespace rt::ws {

class Inflater;

enum class TextCheck : std::uint8_t { kNone, kUtf8 };

struct ReaderLimits {
  // Payload of a frame, of all fragments of a message together, and of what they inflate to.
  std::size_t message_bytes_max = 5'000'000;
  TextCheck text = TextCheck::kNone;  // kUtf8: invalid text messages end with 1007, at the first bad byte
};

struct Step {
  enum class Kind : std::uint8_t {
    kNeedMore,  // `in` is used up
    kMessage,   // a whole text or binary message
    kPing,
    kPong,
    kClose,
    kViolation,  // the connection is to be closed with `violation`; the reader must not be used again
  };
  Kind kind = Kind::kNeedMore;
  Opcode opcode = Opcode::kText;  // of a message
  std::string_view payload;       // valid until the next call and while the input buffer is
  CloseCode violation = CloseCode::kProtocolError;
};

class Reader {
 public:
  Reader();
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Takes bytes from the front of `in` (and unmasks them in place) up to the end of one message or control frame. Call
  // it again with what is left until it needs more. `inflater` is null where no compression was agreed on; the same
  // for all calls. An inflated payload is valid until the inflater's next use.
  Step next(std::span<char>& in, const ReaderLimits& limits, Inflater* inflater = nullptr);

  // Heap bytes held for an incomplete message.
  std::size_t bytes_held() const;

 private:
  struct Partial;

  std::optional<Step> next_in_place(std::span<char>& in, const ReaderLimits& limits, Inflater* inflater);
  Step next_gathered(std::span<char>& in, const ReaderLimits& limits, Inflater* inflater);

  std::unique_ptr<Partial> partial_;
};

}  // namespace rt::ws
