// A stream of WebSocket frames means the same however it is cut, and no message is larger than its limit.
//
// The first byte chooses the limits and whether compression was agreed on, the next eight seed the cuts, the rest is
// the stream.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "protocol/websocket/deflate.h"
#include "protocol/websocket/reader.h"

namespace {

using rt::ws::Step;

template <class NextPiece>
std::string read(const std::string& stream, const rt::ws::ReaderLimits& limits, rt::ws::Inflater* inflater,
                 NextPiece next_piece) {
  rt::ws::Reader reader;
  std::string seen;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t piece = std::min(next_piece(), stream.size() - at);
    std::string copy = stream.substr(at, piece);  // of its own, so that a read beyond it is noticed
    at += piece;
    std::span<char> in(copy);
    for (;;) {
      const Step step = reader.next(in, limits, inflater);
      if (step.kind == Step::Kind::kNeedMore) break;
      seen += static_cast<char>('0' + static_cast<int>(step.kind));
      if (step.kind == Step::Kind::kViolation) return seen + std::to_string(static_cast<int>(step.violation));
      RT_CHECK(step.payload.size() <= limits.message_bytes_max || step.kind != Step::Kind::kMessage);
      if (step.kind != Step::Kind::kMessage) RT_CHECK(step.payload.size() <= rt::ws::kControlPayloadBytesMax);
      if (step.kind == Step::Kind::kClose) (void)rt::ws::parse_close_payload(step.payload);
      if (step.kind == Step::Kind::kMessage && step.opcode == rt::ws::Opcode::kText &&
          limits.text == rt::ws::TextCheck::kUtf8) {
        RT_CHECK(rt::is_valid_utf8(step.payload));
      }
      seen += std::to_string(step.payload.size()) + ':';
      seen += step.payload;
    }
    RT_CHECK(in.empty());
    RT_CHECK(reader.bytes_held() <= 4 * (limits.message_bytes_max + 1024));
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 9) return 0;
  const rt::ws::ReaderLimits limits{
      .message_bytes_max = std::size_t{100} << (data[0] % 8),
      .text = (data[0] & 0x80) != 0 ? rt::ws::TextCheck::kUtf8 : rt::ws::TextCheck::kNone};
  std::seed_seq seed(data + 1, data + 9);
  std::minstd_rand random(seed);
  const std::string stream(reinterpret_cast<const char*>(data + 9), size - 9);
  rt::ws::Inflater own;
  rt::ws::Inflater* inflater = (data[0] & 0x40) != 0 ? &own : nullptr;
  const std::string whole = read(stream, limits, inflater, [&] { return stream.size(); });
  const std::string cut = read(stream, limits, inflater, [&] { return 1 + random() % 20; });
  // In a cut stream a violation may be seen earlier than the end of what came before it, never later or otherwise.
  RT_CHECK(whole == cut);
  return 0;
}
