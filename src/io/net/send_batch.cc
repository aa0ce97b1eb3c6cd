#include "io/net/send_batch.h"

#include <cerrno>

namespace rt::net {

void SendmsgBatch::send(std::span<Outgoing> outgoing) {
  for (Outgoing& one : outgoing) {
    do {
      one.result = sendmsg(one.fd, &one.message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (one.result < 0 && errno == EINTR);
    if (one.result < 0) one.result = -errno;
  }
}

}  // namespace rt::net
