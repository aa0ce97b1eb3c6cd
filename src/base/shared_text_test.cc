#include "base/shared_text.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace rt {
namespace {

TEST_CASE("a shared text is the same for all who hold it, and lives as long as one of them") {
  std::string source = "presence";
  auto first = std::make_unique<SharedText>(source);
  source = "changed!";
  SharedText second = *first;
  CHECK(second.view().data() == first->view().data());
  const SharedText third = std::move(*first);
  first.reset();
  second = SharedText("another");
  CHECK(third.view() == "presence");
  CHECK(second.view() == "another");
  const SharedText& itself = second;
  second = itself;
  CHECK(second.size() == 7);
}

TEST_CASE("no text is not an empty text, though it reads as one") {
  CHECK(!SharedText());
  CHECK(SharedText().view().empty());
  CHECK(SharedText(""));
  CHECK(SharedText("").size() == 0);
}

TEST_CASE("threads may share a text and let go of it in any order") {
  std::vector<std::thread> threads;
  {
    const SharedText text(std::string(1000, 'x'));
    while (threads.size() < 4)
      threads.emplace_back([text] {
        for (int i = 0; i < 1000; ++i) {
          const SharedText copy = text;  // NOLINT(performance-unnecessary-copy-initialization): it is the point
          CHECK(copy.size() == 1000);
        }
      });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rt
