#include "base/shared_text.h"

#include <atomic>
#include <cstdint>
#include <new>

#include "base/check.h"

namespace rt {

struct SharedText::Block {
  std::atomic<std::uint32_t> holders;
  std::uint32_t size;

  char* text() { return reinterpret_cast<char*>(this + 1); }
};

SharedText::SharedText(std::string_view text) {
  RT_CHECK(text.size() <= UINT32_MAX);
  void* const memory = ::operator new(sizeof(Block) + text.size());
  block_ = new (memory) Block{.holders = 1, .size = static_cast<std::uint32_t>(text.size())};
  text.copy(block_->text(), text.size());
}

SharedText::SharedText(const SharedText& other) noexcept : block_(other.block_) {
  if (block_ != nullptr) block_->holders.fetch_add(1, std::memory_order_relaxed);
}

SharedText::~SharedText() {
  // Whoever destroys it has to see that the others are done with it.
  if (block_ == nullptr || block_->holders.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  block_->~Block();
  ::operator delete(block_);
}

std::string_view SharedText::view() const {
  if (block_ == nullptr) return {};
  return {block_->text(), block_->size};
}

}  // namespace rt
