// The PROXY protocol header, versions 1 and 2: who a load balancer's connection is really from.
//
// It is the first thing on the connection, before TLS and HTTP, and comes once. Only the source address is of interest
// here: ports are checked, destinations and the TLVs of version 2 are skipped.
//
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/ip_address.h"
#include "base/result.h"

namespace rt::proxy {

inline constexpr std::size_t kV1BytesMax = 107;  // with its line end
inline constexpr std::size_t kV2BytesMax = 536;  // what a sender may rely on to arrive whole
inline constexpr std::size_t kHeaderBytesMax = kV2BytesMax;

struct Header {
  // None: the balancer speaks for itself (LOCAL), or does not know the source or cannot say it (UNKNOWN, UNSPEC, a UNIX
  // socket).
  std::optional<IpAddress> source;
  std::size_t bytes = 0;  // of the header; what follows them is the connection's own
};

// `in` is what has come so far. nullopt: that may become a header, but is not complete. The error says what is wrong.
// Never looks beyond kHeaderBytesMax, and gives nullopt for fewer bytes only.
Result<std::optional<Header>> parse_header(std::string_view in);

}  // namespace rt::proxy
