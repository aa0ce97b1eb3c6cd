// A number that one thread raises and others read, at the price of a plain addition.
#pragma once

#include <atomic>
#include <cstdint>

namespace rt {

class Counter {
 public:
  // By its one writer only: a load and a store, no locked instruction.
  void add(std::uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void subtract(std::uint64_t n = 1) { add(~n + 1); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace rt
