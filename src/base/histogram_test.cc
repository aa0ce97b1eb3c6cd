#include "base/histogram.h"

#include <doctest/doctest.h>

namespace rt {
namespace {

constexpr std::array<std::int64_t, 2> kBounds{10, 100};

TEST_CASE("a number on a bound counts below it, and several histograms add up") {
  Histogram<kBounds> one;
  one.record(0);
  one.record(10);
  one.record(11, 3);
  Histogram<kBounds> other;
  other.record(1000);
  HistogramCounts counts;
  one.add_to(counts);
  other.add_to(counts);
  CHECK(counts.counts[0] == 2);
  CHECK(counts.counts[1] == 3);
  CHECK(counts.counts[2] == 1);
  CHECK(counts.total() == 6);
  CHECK(counts.sum == 0 + 10 + 33 + 1000);
  CHECK(counts.bounds.size() == 2);
}

}  // namespace
}  // namespace rt
