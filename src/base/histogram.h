// How many of the numbers that one thread records lie in which range; others read. Recording is a few additions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/counter.h"

namespace rt {

inline constexpr std::size_t kHistogramBoundsMax = 15;

// Of several histograms with the same bounds, or of one, as read at some moment.
struct HistogramCounts {
  std::span<const std::int64_t> bounds{};
  std::array<std::uint64_t, kHistogramBoundsMax + 1> counts{};  // by range; behind the last bound: all above
  std::uint64_t sum = 0;

  std::uint64_t total() const {
    std::uint64_t out = 0;
    for (const std::uint64_t count : counts) out += count;
    return out;
  }
};

// `kBounds`: a rising std::array of integers; a number on a bound lies below it.
template <const auto& kBounds>
class Histogram {
 public:
  // By its one writer only, as Counter.
  void record(std::int64_t number, std::uint64_t times = 1) {
    std::size_t range = 0;
    while (range < kBounds.size() && number > kBounds[range]) ++range;
    counts_[range].add(times);
    sum_.add(static_cast<std::uint64_t>(number) * times);
  }

  void add_to(HistogramCounts& out) const {
    out.bounds = kBounds;
    for (std::size_t i = 0; i < counts_.size(); ++i) out.counts[i] += counts_[i].value();
    out.sum += sum_.value();
  }

 private:
  static_assert(kBounds.size() <= kHistogramBoundsMax);
  std::array<Counter, kBounds.size() + 1> counts_;
  Counter sum_;
};

}  // namespace rt
