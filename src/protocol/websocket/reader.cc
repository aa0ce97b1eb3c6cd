#include "protocol/websocket/reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/utf8.h"
#include "protocol/websocket/deflate.h"

namespace rt::ws {
namespace {

Step violation(CloseCode code) { return {.kind = Step::Kind::kViolation, .violation = code}; }

Step control(Opcode opcode, std::string_view payload) {
  const auto kind = opcode == Opcode::kPing   ? Step::Kind::kPing
                    : opcode == Opcode::kPong ? Step::Kind::kPong
                                              : Step::Kind::kClose;
  return {.kind = kind, .opcode = opcode, .payload = payload};
}

// A whole message, inflated where that is needed.
Step message(Opcode opcode, std::string_view payload, Inflater* inflate_with, const ReaderLimits& limits) {
  if (inflate_with != nullptr) {
    const auto inflated = inflate_with->inflate(payload, limits.message_bytes_max);
    if (!inflated) return violation(inflated.error());
    payload = *inflated;
    if (limits.text == TextCheck::kUtf8 && opcode == Opcode::kText && !is_valid_utf8(payload))
      return violation(CloseCode::kInvalidPayload);
  }
  return {.kind = Step::Kind::kMessage, .opcode = opcode, .payload = payload};
}

Rsv1 rsv1(const Inflater* inflater) { return inflater == nullptr ? Rsv1::kReserved : Rsv1::kMarksCompressed; }

}  // namespace

struct Reader::Partial {
  // The frame at hand.
  char header_bytes[kHeaderBytesMax];
  std::uint8_t header_have = 0;
  std::optional<FrameHeader> header;  // set while its payload is arriving
  std::uint64_t payload_have = 0;
  std::string control_payload;
  // The message at hand.
  bool started = false;  // its first frame was seen and its last was not
  Opcode opcode = Opcode::kText;
  bool compressed = false;
  std::string message;
  Utf8Validator utf8;

  bool between_frames() const { return header_have == 0 && !header; }
  std::optional<CloseCode> begin_frame(const ReaderLimits& limits);
  Step end_frame(const ReaderLimits& limits, Inflater* inflater);
  bool checks_text(const ReaderLimits& limits) const {  // as it arrives
    return limits.text == TextCheck::kUtf8 && opcode == Opcode::kText && !compressed;
  }
};

// The rules that depend on the frames before (RFC 6455 5.4), and the size limit.
std::optional<CloseCode> Reader::Partial::begin_frame(const ReaderLimits& limits) {
  payload_have = 0;
  header_have = 0;
  if (header->is_control()) {
    control_payload.clear();
    return std::nullopt;
  }
  const bool continues = header->opcode == Opcode::kContinuation;
  if (continues != started) return CloseCode::kProtocolError;
  if (!continues) {
    started = true;
    opcode = header->opcode;
    compressed = header->compressed;
    utf8 = {};
    message.clear();
  }
  if (header->payload_bytes > limits.message_bytes_max - message.size()) return CloseCode::kTooBig;
  return std::nullopt;
}

Step Reader::Partial::end_frame(const ReaderLimits& limits, Inflater* inflater) {
  const FrameHeader done = *header;
  header.reset();
  if (done.is_control()) return control(done.opcode, control_payload);
  if (!done.fin) return {};
  if (checks_text(limits) && !utf8.complete()) return violation(CloseCode::kInvalidPayload);
  started = false;
  return ws::message(opcode, message, compressed ? inflater : nullptr, limits);
}

Reader::Reader() = default;
Reader::~Reader() = default;

std::size_t Reader::bytes_held() const { return partial_ ? sizeof(Partial) + partial_->message.capacity() : 0; }

Step Reader::next(std::span<char>& in, const ReaderLimits& limits, Inflater* inflater) {
  if (partial_ && partial_->between_frames() && !partial_->started) partial_.reset();
  if (!partial_) {
    if (in.empty()) return {};
    if (const auto step = next_in_place(in, limits, inflater)) return *step;
    partial_ = std::make_unique<Partial>();
  }
  return next_gathered(in, limits, inflater);
}

// A whole message or control frame at the front of `in`; nullopt: the slow way is needed.
std::optional<Step> Reader::next_in_place(std::span<char>& in, const ReaderLimits& limits, Inflater* inflater) {
  const auto parsed = parse_client_header({in.data(), in.size()}, rsv1(inflater));
  if (!parsed) return violation(parsed.error());
  if (!*parsed) return std::nullopt;
  const FrameHeader& header = **parsed;
  if (!header.is_control()) {
    if (header.opcode == Opcode::kContinuation) return violation(CloseCode::kProtocolError);
    if (header.payload_bytes > limits.message_bytes_max) return violation(CloseCode::kTooBig);
  }
  if (!header.fin || in.size() - header.header_bytes < header.payload_bytes) return std::nullopt;

  const std::span<char> payload = in.subspan(header.header_bytes, header.payload_bytes);
  in = in.subspan(header.header_bytes + payload.size());
  unmask(payload, header.mask, 0);
  const std::string_view view(payload.data(), payload.size());
  if (header.is_control()) return control(header.opcode, view);
  if (header.compressed) return message(header.opcode, view, inflater, limits);
  if (limits.text == TextCheck::kUtf8 && header.opcode == Opcode::kText && !is_valid_utf8(view)) {
    return violation(CloseCode::kInvalidPayload);
  }
  return message(header.opcode, view, nullptr, limits);
}

Step Reader::next_gathered(std::span<char>& in, const ReaderLimits& limits, Inflater* inflater) {
  Partial& p = *partial_;
  for (;;) {
    if (!p.header) {
      // One byte at a time: a header has at most 14 and this is the rare path.
      if (in.empty()) return {};
      p.header_bytes[p.header_have++] = in.front();
      in = in.subspan(1);
      const auto parsed = parse_client_header({p.header_bytes, p.header_have}, rsv1(inflater));
      if (!parsed) return violation(parsed.error());
      if (!*parsed) continue;
      p.header = **parsed;
      if (const auto breach = p.begin_frame(limits)) return violation(*breach);
    }
    const std::uint64_t missing = p.header->payload_bytes - p.payload_have;
    const std::span<char> piece = in.first(static_cast<std::size_t>(std::min<std::uint64_t>(missing, in.size())));
    in = in.subspan(piece.size());
    unmask(piece, p.header->mask, p.payload_have);
    p.payload_have += piece.size();
    const std::string_view view(piece.data(), piece.size());
    if (p.header->is_control()) {
      p.control_payload += view;
    } else {
      p.message += view;
      if (p.checks_text(limits) && !p.utf8.feed(view)) return violation(CloseCode::kInvalidPayload);
    }
    if (p.payload_have < p.header->payload_bytes) return {};
    const Step step = p.end_frame(limits, inflater);
    if (step.kind != Step::Kind::kNeedMore) return step;
  }
}

}  // namespace rt::ws
