#include "io/net/send_batch.h"

#include <cerrno>

namespace rt::net {

namespace {

ssize_t send_one(const Outgoing& one) {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (one.message.msg_iovlen != 1 || one.message.msg_control != nullptr) return sendmsg(one.fd, &one.message, kFlags);
  const iovec& piece = one.message.msg_iov[0];  // spares copying and checking a msghdr
  return ::send(one.fd, piece.iov_base, piece.iov_len, kFlags);
}

}  // namespace

void SendmsgBatch::send(std::span<Outgoing> outgoing) {
  for (Outgoing& one : outgoing) {
    do {
      one.result = send_one(one);
    } while (one.result < 0 && errno == EINTR);
    if (one.result < 0) one.result = -errno;
  }
}

}  // namespace rt::net
