// An immutable text, shared by all who pass it on, also between threads.
//
// Besides the text it takes one allocation and eight bytes there, and as many for whoever holds it: much less than a
// shared_ptr to a string, of which a server keeps one for each entry of presence.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace rt {

class SharedText {
 public:
  SharedText() = default;  // none, which reads as an empty one
  explicit SharedText(std::string_view text);
  SharedText(const SharedText& other) noexcept;
  SharedText(SharedText&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  SharedText& operator=(SharedText other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~SharedText();

  explicit operator bool() const { return block_ != nullptr; }  // false: none
  // Lives as long as any holder of the text.
  std::string_view view() const;
  std::size_t size() const { return view().size(); }

 private:
  struct Block;  // the text follows it
  Block* block_ = nullptr;
};

}  // namespace rt
