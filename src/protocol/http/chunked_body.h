// The chunked transfer coding, RFC 9112 7.1, however its bytes are cut.
//
// Ours and not Beast's: version 1.81 of its parser asserts, or reads before its buffer, when a last chunk arrives in
// pieces. Chunk extensions and trailers are read past and not kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::http {

class ChunkedBody {
 public:
  enum class Progress : std::uint8_t { kNeedMore, kComplete, kMalformed, kTooLarge };

  // Longest line of a chunk's size, and of the trailers together.
  static constexpr std::size_t kLineBytesMax = 4096;

  // Takes bytes from the front of `in` up to the end of the body and appends what they carry to `body`, which never
  // grows beyond `body_bytes_max`. After kMalformed or kTooLarge it must not be used again.
  Progress feed(std::string_view& in, std::string& body, std::size_t body_bytes_max);

 private:
  enum class State : std::uint8_t { kSizeLine, kData, kDataEnd, kTrailers };

  Progress end_of_line(const std::string& body, std::size_t body_bytes_max);

  State state_ = State::kSizeLine;
  std::string line_;  // of the size, of the line end behind the data, or of a trailer
  std::size_t trailer_bytes_ = 0;
  std::uint64_t data_left_ = 0;
};

}  // namespace rt::http
