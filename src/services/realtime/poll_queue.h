// What a long-poll session has to tell its client when it asks next.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "base/counter.h"
#include "io/net/frame_ref.h"

namespace rt::realtime {

// A whole frame of text as a client finds it among its messages: a JSON string.
std::string to_message(std::string_view frame);

class PollQueue {  // used on one worker's thread
 public:
  // `all_bytes` is the sum of all queues of the worker and outlives them.
  explicit PollQueue(Counter& all_bytes) : all_bytes_(all_bytes) {}
  ~PollQueue() { all_bytes_.subtract(bytes_); }
  PollQueue(const PollQueue&) = delete;
  PollQueue& operator=(const PollQueue&) = delete;

  // As made by to_message(). A shared one counts in full for each queue that holds it.
  void push(net::FrameRef message);
  bool is_empty() const { return messages_.empty(); }
  std::size_t size() const { return messages_.size(); }
  std::size_t bytes() const { return bytes_; }

  // Takes the oldest messages, at least one and `bytes_max` at most, as a JSON array of strings. They are gone, whether
  // or not they arrive.
  std::string take(std::size_t bytes_max);
  // Returns how many there were.
  std::size_t discard();

 private:
  Counter& all_bytes_;
  std::size_t bytes_ = 0;
  std::deque<net::FrameRef> messages_;
};

}  // namespace rt::realtime
