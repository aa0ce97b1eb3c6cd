// permessage-deflate, RFC 7692: the compression of WebSocket messages.
//
// Neither side keeps a context between messages (7.1.1). So a message is compressed once and the same frame serves
// every receiver, and one inflater serves all connections of a thread. A message never refers further back than its own
// beginning, so even a receiver with a small window can take our frames: all that fit into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "protocol/http/request.h"
#include "protocol/websocket/frame.h"

struct libdeflate_decompressor;
struct z_stream_s;

namespace rt::ws {

// What was agreed on in the handshake.
struct DeflateAgreement {
  std::uint8_t window_bits = 15;  // 8 to 15: messages up to 2^window_bits bytes may be sent compressed
  bool names_window = false;      // the client asked for a window, so the answer has to repeat it

  bool takes(std::size_t message_bytes) const {
    return window_bits == 15 || message_bytes <= std::size_t{1} << window_bits;
  }
};

// The first offer of the request that we can keep to, RFC 7692 5.1 and 7.1. nullopt: none, which is no error.
std::optional<DeflateAgreement> negotiate_deflate(const http::Request& request);

// The value of Sec-WebSocket-Extensions in the answer.
std::string to_header(const DeflateAgreement& agreement);

struct DeflateSettings {
  int level = 6;                      // 1 (fast) to 9 (small)
  std::size_t threshold_bytes = 512;  // smaller messages are not worth the receiver's time
};

struct ZStreamDeleter {
  int (*end)(z_stream_s*);
  void operator()(z_stream_s* stream) const;
};
using ZStream = std::unique_ptr<z_stream_s, ZStreamDeleter>;

// Of one thread. Takes about 270 KB from the first message on.
class Deflater {
 public:
  explicit Deflater(const DeflateSettings& settings);

  // A whole unmasked data frame, compressed. nullopt: it is a control frame, below the threshold, or would not shrink.
  std::optional<std::string> compress(std::string_view frame);

 private:
  const DeflateSettings settings_;
  ZStream stream_;
};

// Of one thread. Takes about 300 KB from the first message on, and room for a larger one until let_go().
//
// zlib says what a message is. Where it grows suspiciously fast, libdeflate, which is more lenient but many times
// faster at long runs, measures it first: a bomb must not cost us the time of inflating it.
class Inflater {
 public:
  // What inflates to more than this, and to more than kRatioMax times its own size, was made to do harm.
  static constexpr std::size_t kHarmlessBytes = 256 * 1024;
  static constexpr std::size_t kRatioMax = 100;
  // DEFLATE streams, one after the other, within one message (7.2.3.4 allows more than one).
  static constexpr int kStreamsMax = 1000;

  Inflater();

  // The message; valid until the next call. Errors: kInvalidPayload, it is not DEFLATE; kTooBig, see above and
  // `bytes_max`, of which nothing beyond the bound is inflated.
  Result<std::string_view, CloseCode> inflate(std::string_view compressed, std::size_t bytes_max);

  // Frees the room that a large message took. The last message is not valid any more.
  void let_go();

 private:
  struct Deleter {
    void operator()(libdeflate_decompressor* decompressor) const;
  };

  bool exceeds(std::string_view compressed, std::size_t bound);

  std::string out_;
  ZStream stream_;
  std::unique_ptr<libdeflate_decompressor, Deleter> measure_;
};

}  // namespace rt::ws
