#include "services/realtime/poll_queue.h"

#include <utility>

#include "protocol/json/value.h"
#include "protocol/websocket/frame.h"

namespace rt::realtime {

std::string to_message(std::string_view frame) { return json::quoted(ws::parse_server_frame(frame).payload); }

void PollQueue::push(net::FrameRef message) {
  bytes_ += message.bytes().size();
  all_bytes_.add(message.bytes().size());
  messages_.push_back(std::move(message));
}

std::string PollQueue::take(std::size_t bytes_max) {
  std::string out = "[";
  std::size_t taken = 0;
  while (!messages_.empty()) {
    const std::string_view message = messages_.front().bytes();
    if (taken > 0 && taken + message.size() > bytes_max) break;
    if (taken > 0) out += ',';
    out += message;
    taken += message.size();
    messages_.pop_front();
  }
  bytes_ -= taken;
  all_bytes_.subtract(taken);
  out += ']';
  return out;
}

std::size_t PollQueue::discard() {
  const std::size_t count = messages_.size();
  messages_.clear();
  all_bytes_.subtract(std::exchange(bytes_, 0));
  return count;
}

}  // namespace rt::realtime
