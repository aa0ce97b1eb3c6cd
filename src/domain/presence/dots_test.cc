#include "domain/presence/dots.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

namespace rt::presence {
namespace {

TEST_CASE("events that came too early wait in the cloud until the gap before them closes") {
  Dots dots;
  dots.add(1, 3);
  dots.add(5, 5);
  dots.add(7, 9);
  CHECK(dots.prefix() == 3);
  CHECK(dots.highest() == 9);
  CHECK(dots.cloud_size() == 2);
  CHECK(!dots.contains(4));
  CHECK(dots.contains(8));
  dots.add(4, 4);
  CHECK(dots.prefix() == 5);
  dots.add(6, 6);
  CHECK(dots.prefix() == 9);
  CHECK(dots.cloud_size() == 0);
}

TEST_CASE("dots are those that were added, in whatever order and however often, in as few ranges as possible") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2'000; ++round) {
    Dots dots;
    std::set<std::uint64_t> model;
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t first = 1 + random() % 40;
      const std::uint64_t last = first + random() % 6 - 1;  // may be empty
      dots.add(first, last);
      for (std::uint64_t clock = first; clock <= last; ++clock) model.insert(clock);
    }
    std::uint64_t prefix = 0;
    while (model.contains(prefix + 1)) ++prefix;
    std::size_t ranges = 0;
    for (const std::uint64_t clock : model) ranges += clock > prefix && !model.contains(clock - 1) ? 1 : 0;
    CHECK(dots.prefix() == prefix);
    CHECK(dots.highest() == (model.empty() ? 0 : *model.rbegin()));
    CHECK(dots.cloud_size() == ranges);
    for (std::uint64_t clock = 1; clock < 60; ++clock) CHECK(dots.contains(clock) == model.contains(clock));
  }
}

}  // namespace
}  // namespace rt::presence
