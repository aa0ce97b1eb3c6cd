// By itself, because <netinet/tcp.h>, which Asio includes, has an older tcp_info and excludes the kernel's.
#include "io/postgres/bytes_received.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace rt::postgres {

std::uint64_t bytes_received(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_bytes_received : 0;
}

}  // namespace rt::postgres
