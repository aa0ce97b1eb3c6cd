// Who a request is from where proxies stand in between.
//
// Each proxy appends whom it was asked by to `X-Forwarded-For`, so the list is true from its right end for as long as
// those who wrote it are trusted; what stands left of that anybody may have written.
#pragma once

#include <vector>

#include "base/ip_address.h"
#include "protocol/http/request.h"

namespace rt::http {

// More proxies in a row than this are not looked through.
inline constexpr int kForwardersMax = 32;

// The nearest address that is not trusted, beginning with `peer`; the farthest one known where all are. Who is not
// trusted is believed nothing. An entry that is no address, with or without a port, ends the list.
IpAddress client_of(const Request& request, const IpAddress& peer, const std::vector<IpBlock>& trusted);

}  // namespace rt::http
