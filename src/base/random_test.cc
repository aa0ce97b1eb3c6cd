#include "base/random.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <thread>

namespace rt {
namespace {

TEST_CASE("no id is given twice, to no thread, whatever its length") {
  std::set<std::string> ids[2];
  const auto draw = [](std::set<std::string>& into) {
    SystemRandom random;
    for (int i = 0; i < 1000; ++i) {
      for (const std::size_t bytes : {12, 16, 31, 32, 33, 600}) into.insert(random.hex(bytes));
    }
  };
  std::thread other(draw, std::ref(ids[0]));
  draw(ids[1]);
  other.join();
  ids[0].merge(ids[1]);
  CHECK(ids[0].size() == 2 * 6 * 1000);
  CHECK(ids[1].empty());
}

}  // namespace
}  // namespace rt
