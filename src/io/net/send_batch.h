// How the output that gathered during a loop turn reaches the kernel: for all dirty connections together.
#pragma once

#include <sys/socket.h>

#include <span>
#include <string_view>

namespace rt::net {

// One connection's share of a flush.
struct Outgoing {
  int fd = -1;
  msghdr message{};
  ssize_t result = 0;  // bytes taken, or -errno
};

class SendBatch {
 public:
  virtual ~SendBatch() = default;
  virtual std::string_view name() const = 0;
  // Always from the same thread. Tries to send each; never blocks, raises no SIGPIPE. At most one per fd. When it
  // returns, the kernel holds no pointer into any message.
  virtual void send(std::span<Outgoing> outgoing) = 0;
};

// One sendmsg(2) for each connection, or send(2) where there is one piece.
class SendmsgBatch final : public SendBatch {
 public:
  std::string_view name() const override { return "sendmsg"; }
  void send(std::span<Outgoing> outgoing) override;
};

}  // namespace rt::net
