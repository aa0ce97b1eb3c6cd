#include "io/postgres/backoff.h"

#include <doctest/doctest.h>

#include <cstring>

#include "testing/manual_clock.h"

namespace rt::postgres {
namespace {

using std::chrono::milliseconds;

// Always the same number.
struct Fixed final : Random {
  explicit Fixed(std::uint64_t what) : number(what) {}
  void fill(std::span<std::byte> out) override {
    std::memcpy(out.data(), &number, std::min(out.size(), sizeof(number)));
  }
  std::uint64_t number;
};

TEST_CASE("the wait before a new attempt doubles up to its bound and is spread over half of it") {
  ManualClock clock;
  Fixed none(0);
  Backoff shortest({.first = milliseconds(200), .max = milliseconds(1000)}, none);
  for (const int expected : {100, 200, 400, 500, 500}) {
    shortest.failed(clock.now());
    CHECK(shortest.not_before() - clock.now() == milliseconds(expected));
  }
  SystemRandom random;
  for (int i = 0; i < 100; ++i) {
    Backoff any({.first = milliseconds(200), .max = milliseconds(1000)}, random);
    any.failed(clock.now());
    CHECK(any.not_before() - clock.now() >= milliseconds(100));
    CHECK(any.not_before() - clock.now() <= milliseconds(200));
  }
}

TEST_CASE("after a success the next attempt is made at once") {
  ManualClock clock;
  Fixed none(0);
  Backoff backoff({}, none);
  for (int i = 0; i < 100; ++i) backoff.failed(clock.now());
  CHECK(backoff.failures() == 100);
  backoff.succeeded();
  CHECK(backoff.not_before() <= clock.now());
  backoff.failed(clock.now());
  CHECK(backoff.not_before() - clock.now() == milliseconds(100));
}

}  // namespace
}  // namespace rt::postgres
