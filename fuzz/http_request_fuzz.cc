// An HTTP request means the same however its bytes are cut, and its limits hold.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "protocol/http/request_parser.h"
#include "protocol/websocket/handshake.h"

namespace {

constexpr rt::http::ParserLimits kLimits{.body_bytes_max = 1000};

// What the connection would see: the requests, then how it ended.
std::string outcome(std::string_view bytes, std::size_t piece) {
  rt::http::RequestParser parser(kLimits);
  std::string left, seen;
  while (!bytes.empty()) {
    left += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    std::string_view in = left;
    while (!in.empty()) {
      const auto complete = parser.feed(in);
      if (!complete) {
        RT_CHECK(!complete.error().reason.empty());
        return seen + "refused";  // which limit is hit first may depend on the cut
      }
      if (!*complete) break;
      const rt::http::Request request = parser.take();
      RT_CHECK(request.body.size() <= kLimits.body_bytes_max);
      RT_CHECK(request.headers.size() <= kLimits.headers_max);
      for (const auto& header : request.headers) RT_CHECK(header.value.size() <= kLimits.header_value_bytes_max);
      seen += request.method + ' ' + std::string(request.path()) + ' ' + request.host() + ' ' + request.body + '\n';
      (void)rt::http::parse_query(request.query());
      if (rt::ws::check_upgrade(request))
        RT_CHECK(rt::ws::make_upgrade_response(request, rt::ws::negotiate_deflate(request)).ends_with("\r\n\r\n"));
    }
    left = std::string(in);
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  RT_CHECK(outcome(bytes, bytes.size() + 1) == outcome(bytes, 1 + data[0] % 32));
  return 0;
}
