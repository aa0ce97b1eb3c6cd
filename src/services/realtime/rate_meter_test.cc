#include "services/realtime/rate_meter.h"

#include <doctest/doctest.h>

namespace rt::realtime {
namespace {

TEST_CASE("what all workers count is judged together, by one of them") {
  RateMeter meter(2);
  CHECK(meter.is_asleep());
  CHECK(meter.claim(100));
  CHECK(!meter.claim(100));
  CHECK(!meter.is_asleep());
  meter.add(0, 500);
  meter.add(1, 499);
  REQUIRE(meter.tick(100));
  CHECK(!meter.is_over());
  meter.add(1, 501);
  CHECK(!meter.is_over());
  REQUIRE(meter.tick(100));
  CHECK(meter.is_over());
  REQUIRE(meter.tick(100));
  CHECK(!meter.is_over());
}

TEST_CASE("a meter tells what was counted between the last two ticks [M-027]") {
  RateMeter meter(2);
  REQUIRE(meter.claim(100));
  meter.add(0, 3);
  meter.add(1, 4);
  meter.tick(100);
  CHECK(meter.last_count() == 7);
  meter.tick(100);
  CHECK(meter.last_count() == 0);
}

TEST_CASE("a meter that nobody uses for five minutes sleeps, and begins anew with the next use") {
  RateMeter meter(1);
  REQUIRE(meter.claim(100));
  meter.add(0, 10);
  for (int i = 1; i < 60; ++i) REQUIRE(meter.tick(100));
  CHECK(!meter.tick(100));
  CHECK(meter.is_asleep());
  CHECK(meter.claim(100));
  meter.add(0, 1'000);
  REQUIRE(meter.tick(100));
  CHECK(meter.is_over());  // of a new counter: 1000 in two buckets
}

TEST_CASE("a meter in use does not fall asleep") {
  RateMeter meter(1);
  REQUIRE(meter.claim(100));
  for (int i = 0; i < 200; ++i) {
    meter.add(0, 1);
    REQUIRE(meter.tick(100));
  }
}

TEST_CASE("a meter tells the average as of its last tick, over the seconds that it has seen") {
  RateMeter meter(1, tenants::RateCounter::kMinuteBySeconds);
  CHECK(meter.interval() == std::chrono::seconds(1));
  REQUIRE(meter.claim(100));
  meter.add(0, 30);
  CHECK(meter.per_second() == 0);
  meter.tick(100);
  CHECK(meter.per_second() == 15);
  meter.tick(100);
  CHECK(meter.per_second() == 10);
}

TEST_CASE("a meter that begins anew forgets what was counted, and is judged by the new limit") {
  RateMeter meter(2);
  REQUIRE(meter.claim(10));
  meter.add(0, 1'000);
  REQUIRE(meter.tick(10));
  CHECK(meter.is_over());
  meter.add(1, 1'000);  // not summed up yet
  meter.restart(20);
  CHECK(!meter.is_over());
  CHECK(meter.per_second() == 0);
  REQUIRE(meter.tick(20));
  CHECK(!meter.is_over());
  meter.restart(0);
  CHECK(meter.is_over());
}

TEST_CASE("with a limit of 0 the meter is over as soon as it is there, and not while it sleeps") {
  RateMeter meter(1);
  CHECK(!meter.is_over());
  REQUIRE(meter.claim(0));
  CHECK(meter.is_over());
  while (meter.tick(0)) {
  }
  CHECK(!meter.is_over());
}

}  // namespace
}  // namespace rt::realtime
