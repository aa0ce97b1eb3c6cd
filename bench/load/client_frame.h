// WebSocket frames as a client sees them (RFC 6455 section 5): it reads bare ones and writes masked ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/websocket/frame.h"

namespace rt::load {

struct ServerFrameHeader {
  bool fin = false;
  bool compressed = false;  // RSV1, RFC 7692
  ws::Opcode opcode = ws::Opcode::kText;
  std::size_t header_bytes = 0;
  std::uint64_t payload_bytes = 0;

  std::uint64_t frame_bytes() const { return header_bytes + payload_bytes; }
};

// nullopt: not complete yet.
std::optional<ServerFrameHeader> parse_server_header(std::string_view in);

void append_client_frame(std::string& out, ws::Opcode opcode, std::string_view payload);

}  // namespace rt::load
