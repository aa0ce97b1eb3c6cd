#include "services/database/recent_failures.h"

#include <doctest/doctest.h>

namespace rt::database {
namespace {

using std::chrono::seconds;

TEST_CASE("the third failure within five seconds opens the breaker, which closes by itself [T-036]") {
  RecentFailures failures(3, seconds(5));
  const Time start{seconds(1000)};
  CHECK_FALSE(failures.record(start));
  CHECK_FALSE(failures.record(start + seconds(1)));
  CHECK_FALSE(failures.is_open(start + seconds(1)));
  CHECK(failures.record(start + seconds(2)));
  CHECK(failures.is_open(start + seconds(4)));
  CHECK_FALSE(failures.is_open(start + seconds(5)));
}

TEST_CASE("failures that lie apart do not open it") {
  RecentFailures failures(2, seconds(5));
  for (int i = 0; i < 10; ++i) CHECK_FALSE(failures.record(Time{seconds(100 + i * 6)}));
}

TEST_CASE("that it opens is told once, and again when it has been closed") {
  RecentFailures failures(1, seconds(5));
  const Time start{seconds(1000)};
  CHECK(failures.record(start));
  CHECK_FALSE(failures.record(start + seconds(1)));
  CHECK(failures.record(start + seconds(60)));
}

}  // namespace
}  // namespace rt::database
