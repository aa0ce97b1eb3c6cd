#include "protocol/websocket/handshake.h"

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/check.h"

namespace rt::ws {

std::string accept_key(std::string_view client_key) {
  constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3
  const std::string text = std::string(client_key) + std::string(kGuid);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  RT_CHECK(EVP_Digest(text.data(), text.size(), digest, &digest_bytes, EVP_sha1(), nullptr) == 1);
  return base64_encode({reinterpret_cast<const char*>(digest), digest_bytes});
}

Result<void> check_upgrade(const http::Request& request) {
  const auto must_contain = [&request](std::string_view header, std::string_view token) -> Result<void> {
    if (request.has_token(header, token)) return {};
    return fail("'" + std::string(header) + "' header must contain '" + std::string(token) + "', got '" +
                std::string(request.header(header).value_or("")) + "'");
  };
  if (request.method != "GET") return fail("a WebSocket is opened with GET, got " + request.method);
  if (!request.is_http11) return fail("a WebSocket needs HTTP/1.1");
  if (request.header("host").value_or("").empty()) return fail("'host' header is missing");
  if (const auto ok = must_contain("connection", "upgrade"); !ok) return ok;
  if (const auto ok = must_contain("upgrade", "websocket"); !ok) return ok;
  if (request.header("sec-websocket-key").value_or("").empty()) return fail("'sec-websocket-key' header is missing");
  if (request.header("sec-websocket-version").value_or("") != "13")
    return fail("'sec-websocket-version' header must be '13'");
  return {};
}

std::string make_upgrade_response(const http::Request& request, const std::optional<DeflateAgreement>& deflate) {
  std::string response =
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: " +
      accept_key(request.header("sec-websocket-key").value_or("")) + "\r\n";
  if (deflate) response += "sec-websocket-extensions: " + to_header(*deflate) + "\r\n";
  return response + "\r\n";
}

}  // namespace rt::ws
