#include "load/client_frame.h"

#include <span>

namespace rt::load {
namespace {

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

}  // namespace

std::optional<ServerFrameHeader> parse_server_header(std::string_view in) {
  if (in.size() < 2) return std::nullopt;
  const auto first = static_cast<std::uint8_t>(in[0]);
  const auto length = static_cast<std::uint8_t>(in[1]);
  const std::size_t extended = length == 127 ? 8 : length == 126 ? 2 : 0;
  if (in.size() < 2 + extended) return std::nullopt;
  return ServerFrameHeader{
      .fin = (first & 0x80) != 0,
      .compressed = (first & 0x40) != 0,
      .opcode = static_cast<ws::Opcode>(first & 0x0f),
      .header_bytes = 2 + extended,
      .payload_bytes = extended == 0 ? length : big_endian(in.substr(2, extended)),
  };
}

void append_client_frame(std::string& out, ws::Opcode opcode, std::string_view payload) {
  constexpr std::uint8_t kMask[4] = {0x1d, 0xa7, 0x52, 0xe8};  // any will do: nobody is between us and the server
  out += static_cast<char>(0x80 | static_cast<std::uint8_t>(opcode));
  if (payload.size() < 126) {
    append_big_endian(out, 0x80 | payload.size(), 1);
  } else if (payload.size() < 0x10000) {
    append_big_endian(out, 0x80 | 126, 1);
    append_big_endian(out, payload.size(), 2);
  } else {
    append_big_endian(out, 0x80 | 127, 1);
    append_big_endian(out, payload.size(), 8);
  }
  out.append(reinterpret_cast<const char*>(kMask), sizeof(kMask));
  const std::size_t start = out.size();
  out += payload;
  ws::unmask(std::span(out).subspan(start), kMask, 0);  // masking is its own reverse
}

}  // namespace rt::load
