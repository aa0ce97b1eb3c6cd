// How much a TCP socket has received.
#pragma once

#include <cstdint>

namespace rt::postgres {

// Since the connection began, as the kernel counts it; 0 for other sockets.
std::uint64_t bytes_received(int fd);

}  // namespace rt::postgres
