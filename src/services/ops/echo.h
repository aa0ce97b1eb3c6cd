// `/debug/echo`: says back what it hears, over the very code that clients use, so that conformance suites can judge it.
#pragma once

#include "io/net/worker.h"

namespace rt::ops {

// The limits of the echo endpoint: strict text, and messages large enough for every suite.
inline constexpr ws::ReaderLimits kEchoLimits{.message_bytes_max = 64 * 1024 * 1024, .text = ws::TextCheck::kUtf8};

class Echo final : public net::MessageHandler {  // of one worker
 public:
  explicit Echo(net::Worker& worker) : worker_(worker) {}

  net::Reading on_message(net::ConnectionId connection, ws::Opcode opcode, std::string_view payload) override {
    worker_.send(connection, net::FrameRef(ws::make_frame(opcode, {payload})));
    return net::Reading::kGoOn;
  }
  void on_closed(net::ConnectionId) override {}

 private:
  net::Worker& worker_;
};

}  // namespace rt::ops
