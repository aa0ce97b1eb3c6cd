// WebSocket frames, RFC 6455 section 5: the header, the mask, and how a frame is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rt::ws {

enum class Opcode : std::uint8_t {
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xa,
};

// RFC 6455 7.4.1, and 1012 and 1013 of the IANA registry.
enum class CloseCode : std::uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kInvalidPayload = 1007,
  kTooBig = 1009,
  kInternalError = 1011,
  kServiceRestart = 1012,
  kTryAgainLater = 1013,
};

inline constexpr std::size_t kControlPayloadBytesMax = 125;  // 5.5
inline constexpr std::size_t kHeaderBytesMax = 14;           // of a masked frame
inline constexpr std::size_t kServerHeaderBytesMax = 10;     // unmasked

struct FrameHeader {
  bool fin = false;
  bool compressed = false;  // RSV1 (RFC 7692 6): on the first frame of a message, it speaks for the whole of it
  Opcode opcode = Opcode::kText;
  std::uint8_t mask[4] = {};
  std::uint64_t payload_bytes = 0;
  std::uint8_t header_bytes = 0;

  bool is_control() const { return (static_cast<std::uint8_t>(opcode) & 0x8) != 0; }
};

enum class Rsv1 : std::uint8_t { kReserved, kMarksCompressed };  // the latter where permessage-deflate was agreed on

// The header of a frame from a client. nullopt: not complete yet. An error is a breach of the protocol (reserved bits
// and opcodes, missing mask, long or fragmented control frames): close code 1002. Never reads past `in`.
Result<std::optional<FrameHeader>, CloseCode> parse_client_header(std::string_view in, Rsv1 rsv1);

// XORs `bytes` with the mask (5.3), `offset` bytes into the frame's payload.
void unmask(std::span<char> bytes, const std::uint8_t (&mask)[4], std::uint64_t offset);

// One whole unmasked frame whose payload is the parts one after the other.
std::string make_frame(Opcode opcode, std::initializer_list<std::string_view> payload_parts);

// A fragment of an uncompressed message (5.4): its first one has the message's opcode, the others kContinuation.
enum class Fragment : std::uint8_t { kMoreFollow, kLast };
std::string make_fragment(Opcode opcode, Fragment fragment, std::string_view payload);

// The same, marked as compressed.
std::string make_compressed_frame(Opcode opcode, std::string_view payload);

// Takes apart what make_frame() made.
struct ServerFrame {
  Opcode opcode = Opcode::kText;
  std::string_view payload;
};
ServerFrame parse_server_frame(std::string_view frame);

// A close frame without reason; nullopt makes it empty.
std::string make_close_frame(std::optional<std::uint16_t> code);

// What a close frame of a client is answered with: its own code, nothing where it had none (5.5.1). An error is the
// code for a frame that breaks the rules of 7.4 or whose reason is not UTF-8.
Result<std::optional<std::uint16_t>, CloseCode> parse_close_payload(std::string_view payload);

}  // namespace rt::ws
