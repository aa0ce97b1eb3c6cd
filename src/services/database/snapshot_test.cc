#include "services/database/snapshot.h"

#include <doctest/doctest.h>

namespace rt::database {
namespace {

TEST_CASE("a snapshot sees what was committed before it, and nothing that is in progress or to come") {
  CHECK(sees_all("10:20:10,14,15", {9, 11, 13, 16, 19}));
  CHECK(sees_all("20:20:", {19}));
  CHECK(sees_all("20:20:", {}));
  CHECK_FALSE(sees_all("10:20:10,14,15", {9, 10}));
  CHECK_FALSE(sees_all("10:20:10,14,15", {14}));
  CHECK_FALSE(sees_all("10:20:10,14,15", {15, 11}));
  CHECK_FALSE(sees_all("10:20:10,14,15", {20}));
  CHECK_FALSE(sees_all("10:20:10,14,15", {4'000'000}));
}

TEST_CASE("transactions are told apart from those of four milliards before") {
  // 3 * 2^32 + 5
  CHECK(sees_all("12884901893:12884901893:", {4}));
  CHECK(sees_all("12884901893:12884901893:", {4'294'967'295}));  // of the time before
  CHECK_FALSE(sees_all("12884901893:12884901893:", {5}));
  CHECK_FALSE(sees_all("12884901893:12884901893:", {6}));
  // Next is 3 * 2^32 - 1, and 2 has come since.
  CHECK_FALSE(sees_all("12884901887:12884901887:", {2}));
  CHECK_FALSE(sees_all("12884901887:12884901895:12884901887,12884901890", {2}));
  CHECK(sees_all("12884901887:12884901895:12884901887,12884901890", {3}));
}

TEST_CASE("what is no snapshot sees nothing") {
  for (const auto* text : {"", "x", "10", "10:", "10:x", "10:20:x", "10:20:11,", "10:20:11;12", "-1:20:"}) {
    CAPTURE(text);
    const bool is_whole = std::string_view(text) == "10:20:11,";
    CHECK(sees_all(text, {9}) == is_whole);
  }
}

}  // namespace
}  // namespace rt::database
