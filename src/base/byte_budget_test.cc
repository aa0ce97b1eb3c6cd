#include "base/byte_budget.h"

#include <doctest/doctest.h>

#include <cstdint>

namespace rt {
namespace {

TEST_CASE("a budget gives what it has, all of it or nothing") {
  ByteBudget budget(10);
  CHECK(budget.take(7));
  CHECK_FALSE(budget.take(4));
  CHECK(budget.used() == 7);
  CHECK(budget.take(3));
  CHECK_FALSE(budget.take(1));
  CHECK(budget.take(0));
  budget.give_back(7);
  CHECK(budget.take(1));
  CHECK(budget.used() == 4);
  CHECK_FALSE(budget.take(SIZE_MAX));
}

}  // namespace
}  // namespace rt
