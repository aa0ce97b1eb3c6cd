// Bytes for the wire, shared by all the connections of one worker that wait to send them.
//
// A broadcast goes to thousands of connections, so holding a frame must cost next to nothing: within a worker the
// holders are counted by a plain integer. Between workers the bytes themselves are shared by a shared_ptr, taken once
// per worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace rt::net {

// A handle for one worker's thread; copies of it must stay on that thread.
class FrameRef {
 public:
  FrameRef() = default;
  explicit FrameRef(std::string bytes) : FrameRef(std::make_shared<const std::string>(std::move(bytes))) {}
  explicit FrameRef(std::shared_ptr<const std::string> bytes) : shared_(new Shared{std::move(bytes), 1}) {}
  FrameRef(const FrameRef& other) noexcept : shared_(other.shared_) {
    if (shared_ != nullptr) ++shared_->holders;
  }
  FrameRef(FrameRef&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  FrameRef& operator=(FrameRef other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~FrameRef() {
    if (shared_ != nullptr && --shared_->holders == 0) delete shared_;
  }

  std::string_view bytes() const { return *shared_->bytes; }
  // The same for all handles of a frame, for as long as there is one.
  const void* identity() const { return shared_; }
  explicit operator bool() const { return shared_ != nullptr; }

 private:
  struct Shared {
    std::shared_ptr<const std::string> bytes;
    std::uint32_t holders;
  };
  Shared* shared_ = nullptr;
};

}  // namespace rt::net
