// The opening handshake, RFC 6455 section 4.2.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "protocol/http/request.h"
#include "protocol/websocket/deflate.h"

namespace rt::ws {

// The value of Sec-WebSocket-Accept for the client's key (4.2.2).
std::string accept_key(std::string_view client_key);

// Whether the request asks for a WebSocket as section 4.2.1 demands. The error says what is missing; it is the body of
// a 400.
Result<void> check_upgrade(const http::Request& request);

// The bytes of the 101 response, with the extension if one was agreed on.
std::string make_upgrade_response(const http::Request& request, const std::optional<DeflateAgreement>& deflate);

}  // namespace rt::ws
