#include "base/time_uuid.h"

#include <doctest/doctest.h>

#include <regex>

namespace rt {

TEST_CASE("a UUID of version 1 tells its time and its maker") {
  // RFC 9562 A.1
  const auto time = std::chrono::system_clock::time_point(std::chrono::microseconds(1645557742000000));
  CHECK(time_uuid(uuid_ticks(time), 0x33c8'9f6b'dece'd846) == "c232ab00-9414-11ec-b3c8-9f6bdeced846");
}

TEST_CASE("a UUID of any time and maker has the form of version 1, and another tick or maker makes another") {
  const std::regex form("[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  for (const std::uint64_t ticks : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    for (const std::uint64_t maker : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      CHECK(std::regex_match(time_uuid(ticks, maker), form));
      CHECK(time_uuid(ticks, maker) != time_uuid(ticks + 1, maker));
      CHECK(time_uuid(ticks, maker) != time_uuid(ticks, maker ^ 2));
    }
  }
}

}  // namespace rt
