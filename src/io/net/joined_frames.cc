#include "io/net/joined_frames.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace rt::net {

JoinedFrames::JoinedFrames() : room_(std::make_unique_for_overwrite<char[]>(kRoomBytes)) {}

std::optional<iovec> JoinedFrames::join(std::span<const FrameRef> frames) {
  if (frames.size() < 2) return std::nullopt;
  if (are_last(frames)) return last_piece_;
  std::size_t bytes = 0;
  for (const FrameRef& frame : frames) bytes += frame.bytes().size();
  if (bytes > kRoomBytes - used_ || bytes > frames.size() * kFrameBytesMax) return std::nullopt;
  last_piece_ = {room_.get() + used_, bytes};
  last_.clear();
  for (const FrameRef& frame : frames) {
    const std::string_view from = frame.bytes();
    std::memcpy(room_.get() + used_, from.data(), from.size());
    used_ += from.size();
    last_.push_back(frame.identity());
  }
  return last_piece_;
}

void JoinedFrames::clear() {
  used_ = 0;
  last_.clear();
}

bool JoinedFrames::are_last(std::span<const FrameRef> frames) const {
  return std::ranges::equal(frames, last_, std::equal_to<>{}, &FrameRef::identity);
}

}  // namespace rt::net
