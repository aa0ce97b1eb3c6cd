#include "domain/tenants/rate_counter.h"

#include <doctest/doctest.h>

namespace rt::tenants {
namespace {

bool over_after(RateCounter& counter, std::uint64_t count, std::int64_t limit) {
  counter.tick(count, limit);
  return counter.is_over();
}

TEST_CASE("a burst that brings the average to the limit raises the flag, and quiet lowers it again") {
  RateCounter counter(RateCounter::kMinute, 100);
  CHECK(!counter.is_over());
  CHECK(over_after(counter, 1000, 100));  // 1000 / 2 buckets / 5 s
  CHECK(counter.per_second() == 100);
  CHECK(counter.is_over());
  CHECK(!over_after(counter, 0, 100));
  CHECK(counter.per_second() == doctest::Approx(66.67).epsilon(0.001));
}

TEST_CASE("a burst below the average limit passes") {
  RateCounter counter(RateCounter::kMinute, 100);
  CHECK(!over_after(counter, 999, 100));
  for (int i = 0; i < 11; ++i) counter.tick(0, 100);
  CHECK(!over_after(counter, 5'999, 100));
  CHECK(!counter.is_over());
  CHECK(over_after(counter, 1, 100));
}

TEST_CASE("what is older than the window does not count") {
  RateCounter counter(RateCounter::kMinute, 100);
  counter.tick(1'000'000, 100);
  CHECK(!counter.is_idle());
  for (int i = 0; i < 11; ++i) CHECK(over_after(counter, 0, 100));
  CHECK(!over_after(counter, 0, 100));
  CHECK(counter.is_idle());
  CHECK(counter.per_second() == 0);
}

TEST_CASE("with a limit of 0 nothing is allowed from the beginning") {
  CHECK(RateCounter(RateCounter::kMinute, 0).is_over());
  CHECK(!RateCounter(RateCounter::kMinute, 1).is_over());
}

TEST_CASE("a new limit counts from the next tick on") {
  RateCounter counter(RateCounter::kMinute, 1'000);
  CHECK(!over_after(counter, 1'000, 1'000));
  CHECK(over_after(counter, 1'000, 100));
  CHECK(!over_after(counter, 1'000, 1'000));
}

}  // namespace
}  // namespace rt::tenants
