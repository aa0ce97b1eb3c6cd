#include "base/job_thread.h"

#include <doctest/doctest.h>

#include <future>
#include <vector>

namespace rt {
namespace {

TEST_CASE("jobs are done in order, and those that wait are done before the thread ends") {
  std::vector<int> done;
  JobThread thread("jobs", 100);
  for (int i = 0; i < 100; ++i) REQUIRE(thread.post([&done, i] { done.push_back(i); }));
  thread.stop();
  REQUIRE(done.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(done[static_cast<std::size_t>(i)] == i);
  CHECK(!thread.post([] {}));
}

TEST_CASE("more jobs than may wait are refused, and taken again when there is room") {
  std::promise<void> begun, go_on;
  JobThread thread("jobs", 1);
  REQUIRE(thread.post([&] {
    begun.set_value();
    go_on.get_future().wait();
  }));
  begun.get_future().wait();
  CHECK(thread.post([] {}));
  CHECK(!thread.post([] {}));
  go_on.set_value();
  std::promise<void> last;
  while (!thread.post([&last] { last.set_value(); })) std::this_thread::yield();
  last.get_future().wait();
}

}  // namespace
}  // namespace rt
