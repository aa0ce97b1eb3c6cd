// `/debug/echo`: says back what it hears, over the very code that clients use, so that conformance suites can judge it.
#pragma once

#include <optional>
#include <unordered_map>

#include "io/net/worker.h"
#include "protocol/websocket/deflate.h"

namespace rt::ops {

// The limits of the echo endpoint: strict text, and messages large enough for every suite.
inline constexpr ws::ReaderLimits kEchoLimits{.message_bytes_max = 64 * 1024 * 1024, .text = ws::TextCheck::kUtf8};

class Echo final : public net::MessageHandler {  // of one worker
 public:
  // `compression`: nullopt where the server agrees to none.
  Echo(net::Worker& worker, const std::optional<ws::DeflateSettings>& compression)
      : worker_(worker), compression_(compression), deflater_(compression.value_or(ws::DeflateSettings{})) {}

  void open(net::ConnectionId connection, const http::Request& request);

  net::Reading on_message(net::ConnectionId connection, ws::Opcode opcode, std::string_view payload) override;
  void on_closed(net::ConnectionId connection) override { agreements_.erase(connection.slot); }

 private:
  net::Worker& worker_;
  const std::optional<ws::DeflateSettings> compression_;
  ws::Deflater deflater_;
  std::unordered_map<std::uint32_t, ws::DeflateAgreement> agreements_;  // by slot of the connection
};

}  // namespace rt::ops
