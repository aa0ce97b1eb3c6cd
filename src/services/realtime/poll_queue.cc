#include "services/realtime/poll_queue.h"

#include <utility>

#include "protocol/json/value.h"
#include "protocol/websocket/frame.h"

namespace rt::realtime {

void PollQueue::push(net::FrameRef frame) {
  bytes_ += frame.bytes().size();
  all_bytes_ += frame.bytes().size();
  frames_.push_back(std::move(frame));
}

std::string PollQueue::take(std::size_t bytes_max) {
  std::string out = "[";
  std::size_t taken = 0;
  while (!frames_.empty()) {
    const std::string_view frame = frames_.front().bytes();
    if (taken > 0 && taken + frame.size() > bytes_max) break;
    if (taken > 0) out += ',';
    json::append_quoted(out, ws::parse_server_frame(frame).payload);
    taken += frame.size();
    frames_.pop_front();
  }
  bytes_ -= taken;
  all_bytes_ -= taken;
  out += ']';
  return out;
}

std::size_t PollQueue::discard() {
  const std::size_t count = frames_.size();
  frames_.clear();
  all_bytes_ -= std::exchange(bytes_, 0);
  return count;
}

}  // namespace rt::realtime
