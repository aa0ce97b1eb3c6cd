// The frames that wait for one socket. Empty, it is a few words; the frames belong to all who wait for them.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <vector>

#include "io/net/frame_ref.h"
#include "io/net/joined_frames.h"

namespace rt::net {

// What one send may offer to the kernel.
struct SendShare {
  std::size_t frames;
  std::size_t bytes;
};

class SendQueue {
 public:
  void push(FrameRef frame) {
    bytes_ += frame.bytes().size();
    frames_.push_back(std::move(frame));
  }
  bool empty() const { return head_ == frames_.size(); }
  // Bytes not yet taken by the kernel; a shared frame counts in full.
  std::size_t bytes() const { return bytes_; }

  // Appends at most so many frames and bytes to `out`, the front first, in no more pieces than frames; the last one may
  // be cut. Returns their total size. The pieces are valid until the queue changes or `joined` is cleared.
  std::size_t gather(std::vector<iovec>& out, const SendShare& max, JoinedFrames& joined) const;
  // The kernel took this many bytes from the front.
  void consume(std::size_t bytes);
  // Forgets every frame of which nothing is on the wire yet. Returns how many.
  std::size_t discard_unsent();

 private:
  std::vector<FrameRef> frames_;
  std::size_t head_ = 0;         // frames before it were sent
  std::size_t head_offset_ = 0;  // bytes of the frame at head_ that were sent
  std::size_t bytes_ = 0;
};

}  // namespace rt::net
