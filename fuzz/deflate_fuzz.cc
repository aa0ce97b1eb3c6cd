// Compression never invents, loses or blows up a byte: what we deflate inflates to itself, what others send as deflate
// gives at most its bound, and offers of the extension are answered or passed over.
//
// The first byte chooses what the rest is: an offer, a message to be compressed, or a compressed one.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "protocol/websocket/deflate.h"

namespace {

using rt::ws::CloseCode;
using rt::ws::Inflater;

void offer(std::string_view text) {
  rt::http::Request request;
  request.headers.push_back({"sec-websocket-extensions", std::string(text)});
  const auto agreement = rt::ws::negotiate_deflate(request);
  if (!agreement) return;
  RT_CHECK(agreement->window_bits >= 8 && agreement->window_bits <= 15);
  RT_CHECK(rt::ws::to_header(*agreement).starts_with("permessage-deflate; "));
}

void round_trip(std::string_view message, int level) {
  rt::ws::Deflater deflater({.level = level, .threshold_bytes = 1});
  Inflater inflater;
  const auto frame = deflater.compress(rt::ws::make_frame(rt::ws::Opcode::kBinary, {message}));
  if (!frame) return;
  RT_CHECK(frame->size() <= message.size() + 10);
  const auto back = inflater.inflate(rt::ws::parse_server_frame(*frame).payload, message.size());
  const bool is_bomb = message.size() > Inflater::kHarmlessBytes;
  RT_CHECK(back ? *back == message : is_bomb);
}

void inflate(std::string_view compressed, std::size_t bytes_max) {
  Inflater inflater;
  const auto first = inflater.inflate(compressed, bytes_max);
  if (!first) {
    RT_CHECK(first.error() == CloseCode::kInvalidPayload || first.error() == CloseCode::kTooBig);
    return;
  }
  RT_CHECK(first->size() <= bytes_max);
  const std::string kept(*first);
  // The state that one message leaves behind is nothing to the next.
  (void)inflater.inflate("\xff\xff", bytes_max);
  const auto again = inflater.inflate(compressed, bytes_max);
  RT_CHECK(again && *again == kept);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      offer(rest);
      break;
    case 1:
      round_trip(rest, 1 + data[0] / 4 % 9);
      break;
    default:
      inflate(rest, std::size_t{16} << (data[0] / 4 % 16));
  }
  return 0;
}
