#include "io/net/send_queue.h"

#include <algorithm>

#include "base/check.h"

namespace rt::net {

std::size_t SendQueue::gather(std::vector<iovec>& out, const SendShare& max, JoinedFrames& joined) const {
  std::span<const FrameRef> frames = std::span(frames_).subspan(head_);
  frames = frames.first(std::min(frames.size(), max.frames));
  std::size_t room = max.bytes;
  const auto add = [&](std::string_view bytes) {
    bytes = bytes.substr(0, room);
    if (bytes.empty()) return;
    out.push_back({const_cast<char*>(bytes.data()), bytes.size()});
    room -= bytes.size();
  };
  if (head_offset_ > 0) {
    add(frames.front().bytes().substr(head_offset_));
    frames = frames.subspan(1);
  }
  if (const auto piece = joined.join(frames)) {
    add({static_cast<const char*>(piece->iov_base), piece->iov_len});
  } else {
    for (const FrameRef& frame : frames) add(frame.bytes());
  }
  return max.bytes - room;
}

void SendQueue::consume(std::size_t bytes) {
  RT_CHECK(bytes <= bytes_);
  bytes_ -= bytes;
  while (bytes > 0) {
    const std::size_t left = frames_[head_].bytes().size() - head_offset_;
    if (bytes < left) {
      head_offset_ += bytes;
      break;
    }
    bytes -= left;
    head_offset_ = 0;
    frames_[head_++] = FrameRef();
  }
  constexpr std::size_t kKeptCapacity = 16;
  if (empty()) {
    frames_.clear();
    head_ = 0;
    if (frames_.capacity() > kKeptCapacity) frames_.shrink_to_fit();
  } else if (head_ > 64 && head_ > frames_.size() / 2) {
    // A queue that is never quite empty would grow for ever at its front.
    frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

std::size_t SendQueue::discard_unsent() {
  const std::size_t keep = head_ + (head_offset_ > 0 ? 1 : 0);
  const std::size_t dropped = frames_.size() - std::min(keep, frames_.size());
  for (std::size_t i = keep; i < frames_.size(); ++i) bytes_ -= frames_[i].bytes().size();
  frames_.resize(std::min(keep, frames_.size()));
  return dropped;
}

}  // namespace rt::net
