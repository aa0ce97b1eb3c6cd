#include "protocol/websocket/frame.h"

#include <cstring>

#include "base/check.h"
#include "base/utf8.h"

namespace rt::ws {
namespace {

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const unsigned char byte : bytes) value = value << 8 | byte;
  return value;
}

bool is_known(Opcode opcode) {
  switch (opcode) {
    case Opcode::kContinuation:
    case Opcode::kText:
    case Opcode::kBinary:
    case Opcode::kClose:
    case Opcode::kPing:
    case Opcode::kPong:
      return true;
  }
  return false;
}

constexpr std::uint8_t kFin = 0x80;
constexpr std::uint8_t kRsv1 = 0x40;
constexpr std::uint8_t kRsv = 0x70;

void append_header(std::string& out, std::uint8_t flags, Opcode opcode, std::uint64_t payload_bytes) {
  out += static_cast<char>(flags | static_cast<std::uint8_t>(opcode));
  int length_bytes = 0;
  if (payload_bytes <= 125) {
    out += static_cast<char>(payload_bytes);
  } else if (payload_bytes <= 0xffff) {
    out += static_cast<char>(126);
    length_bytes = 2;
  } else {
    out += static_cast<char>(127);
    length_bytes = 8;
  }
  for (int i = length_bytes - 1; i >= 0; --i) out += static_cast<char>(payload_bytes >> (8 * i));
}

// 7.4: codes that a peer may send. 1004-1006 and 1015 are reserved, below 1000 and 1016-2999 undefined, 3000-4999 free
// to use.
bool may_be_sent(std::uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

}  // namespace

Result<std::optional<FrameHeader>, CloseCode> parse_client_header(std::string_view in, Rsv1 rsv1) {
  const auto breach = [] { return tl::make_unexpected(CloseCode::kProtocolError); };
  if (in.empty()) return std::nullopt;
  const auto first = static_cast<std::uint8_t>(in[0]);
  FrameHeader header;
  header.fin = (first & kFin) != 0;
  header.compressed = (first & kRsv1) != 0;
  header.opcode = static_cast<Opcode>(first & 0x0f);
  if (!is_known(header.opcode) || (first & kRsv & ~kRsv1) != 0) return breach();
  const bool may_be_compressed =
      rsv1 == Rsv1::kMarksCompressed && !header.is_control() && header.opcode != Opcode::kContinuation;
  if (header.compressed && !may_be_compressed) return breach();
  if (header.is_control() && !header.fin) return breach();
  if (in.size() < 2) return std::nullopt;

  const auto second = static_cast<std::uint8_t>(in[1]);
  if ((second & 0x80) == 0) return breach();  // 5.1: a client masks
  const std::uint8_t short_length = second & 0x7f;
  if (header.is_control() && short_length > kControlPayloadBytesMax) return breach();
  const std::size_t length_bytes = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
  header.header_bytes = static_cast<std::uint8_t>(2 + length_bytes + 4);
  if (in.size() < header.header_bytes) return std::nullopt;
  header.payload_bytes = length_bytes == 0 ? short_length : big_endian(in.substr(2, length_bytes));
  if ((header.payload_bytes >> 63) != 0) return breach();
  std::memcpy(header.mask, in.data() + 2 + length_bytes, 4);
  return header;
}

void unmask(std::span<char> bytes, const std::uint8_t (&mask)[4], std::uint64_t offset) {
  std::uint8_t turned[8];
  for (std::size_t i = 0; i < 8; ++i) turned[i] = mask[(offset + i) % 4];
  std::uint64_t wide;
  std::memcpy(&wide, turned, 8);
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    word ^= wide;
    std::memcpy(bytes.data() + i, &word, 8);
  }
  for (; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ turned[i % 8]);
}

std::string make_frame(Opcode opcode, std::initializer_list<std::string_view> payload_parts) {
  std::size_t payload_bytes = 0;
  for (const std::string_view part : payload_parts) payload_bytes += part.size();
  std::string out;
  out.reserve(kServerHeaderBytesMax + payload_bytes);
  append_header(out, kFin, opcode, payload_bytes);
  for (const std::string_view part : payload_parts) out += part;
  return out;
}

std::string make_fragment(Opcode opcode, Fragment fragment, std::string_view payload) {
  std::string out;
  out.reserve(kServerHeaderBytesMax + payload.size());
  append_header(out, fragment == Fragment::kLast ? kFin : std::uint8_t{0}, opcode, payload.size());
  out += payload;
  return out;
}

std::string make_compressed_frame(Opcode opcode, std::string_view payload) {
  std::string out;
  out.reserve(kServerHeaderBytesMax + payload.size());
  append_header(out, kFin | kRsv1, opcode, payload.size());
  out += payload;
  return out;
}

ServerFrame parse_server_frame(std::string_view frame) {
  RT_CHECK(frame.size() >= 2);
  const auto length = static_cast<std::uint8_t>(frame[1]);
  const std::size_t header_bytes = length == 126 ? 4 : length == 127 ? 10 : 2;
  RT_CHECK(frame.size() >= header_bytes);
  return {static_cast<Opcode>(frame[0] & 0x0f), frame.substr(header_bytes)};
}

std::string make_close_frame(std::optional<std::uint16_t> code) {
  if (!code) return make_frame(Opcode::kClose, {});
  const char payload[2] = {static_cast<char>(*code >> 8), static_cast<char>(*code)};
  return make_frame(Opcode::kClose, {std::string_view(payload, 2)});
}

Result<std::optional<std::uint16_t>, CloseCode> parse_close_payload(std::string_view payload) {
  if (payload.empty()) return std::nullopt;
  if (payload.size() == 1) return tl::make_unexpected(CloseCode::kProtocolError);
  const auto code = static_cast<std::uint16_t>(big_endian(payload.substr(0, 2)));
  if (!may_be_sent(code)) return tl::make_unexpected(CloseCode::kProtocolError);
  if (!is_valid_utf8(payload.substr(2))) return tl::make_unexpected(CloseCode::kInvalidPayload);
  return code;
}

}  // namespace rt::ws
