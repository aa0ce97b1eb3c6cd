// How often which error code was logged. One thread counts, others read.
//
// The codes are literals of the register, so there are few; each takes memory with its first error and keeps it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/counter.h"

namespace rt::realtime {

class ErrorCounts {
 public:
  ErrorCounts() = default;
  ~ErrorCounts() {
    for (const Entry* entry = first_.load(); entry != nullptr;) {
      const std::unique_ptr<const Entry> gone(entry);
      entry = gone->next;
    }
  }
  ErrorCounts(const ErrorCounts&) = delete;
  ErrorCounts& operator=(const ErrorCounts&) = delete;

  // By its one writer only. `code` is a literal.
  void add(std::string_view code) {
    Entry* const first = first_.load(std::memory_order_relaxed);
    Entry* entry = first;
    while (entry != nullptr && entry->code != code) entry = entry->next;
    if (entry == nullptr) {
      entry = new Entry{code, first, {}};
      first_.store(entry, std::memory_order_release);
    }
    entry->count.add();
  }

  template <class Visit>  // of (code, count)
  void for_each(Visit visit) const {
    for (const Entry* entry = first_.load(std::memory_order_acquire); entry != nullptr; entry = entry->next)
      visit(entry->code, entry->count.value());
  }

 private:
  struct Entry {
    const std::string_view code;
    Entry* const next;
    Counter count;
  };
  std::atomic<Entry*> first_{nullptr};
};

}  // namespace rt::realtime
