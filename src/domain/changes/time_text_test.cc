#include "domain/changes/time_text.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

namespace rt::changes {
namespace {

std::string timestamp(std::string_view text) {
  std::string out;
  return append_timestamp(out, text) ? out : "none" + out;
}

TEST_CASE("timestamps have a T, and offsets have minutes [PC-039]") {
  CHECK(timestamp("2024-02-29 12:34:56") == "2024-02-29T12:34:56");
  CHECK(timestamp("2024-02-29 12:34:56.123456") == "2024-02-29T12:34:56.123456");
  CHECK(timestamp("0044-03-15 00:00:00 BC") == "0044-03-15T00:00:00 BC");
  CHECK(timestamp("294276-12-31 23:59:59.999999") == "294276-12-31T23:59:59.999999");
  CHECK(timestamp("2024-02-29 10:34:56.1+00") == "2024-02-29T10:34:56.1+00:00");
  CHECK(timestamp("2024-02-29 10:34:56-03:30") == "2024-02-29T10:34:56-03:30");
  CHECK(timestamp("1850-01-01 00:00:00+00:19:32") == "1850-01-01T00:00:00+00:19:32");
  CHECK(timestamp("0044-03-15 00:00:00.5-11 BC") == "0044-03-15T00:00:00.5-11:00 BC");
}

TEST_CASE("what is no moment is no timestamp") {
  for (const char* text :
       {"infinity", "-infinity", "", "2024-02-29", "2024-02-29T12:34:56", "24-02-29 12:34:56", "2024-02-29 12:34",
        "2024-02-29 12:34:56.", "2024-02-29 12:34:56+0", "2024-02-29 12:34:56 AD",
        "2024-02-29 12:34:56+00:", "29.02.2024 12:34:56", "2024-02-29 12:34:56\"", "1234567-01-01 00:00:00"})
    CHECK(timestamp(text) == "none");
}

TEST_CASE("commits are dated in UTC, to the millisecond that had begun [PC-031]") {
  CHECK(commit_timestamp(0) == "2000-01-01T00:00:00.000Z");
  CHECK(commit_timestamp(838'555'436'123'999) == "2026-07-28T12:03:56.123Z");
  CHECK(commit_timestamp(999) == "2000-01-01T00:00:00.000Z");
  CHECK(commit_timestamp(-1) == "1999-12-31T23:59:59.999Z");
}

TEST_CASE("a server that has lost all sense of time gets an answer") {
  CHECK(commit_timestamp(std::numeric_limits<std::int64_t>::max()) == "9999-12-31T23:59:59.999Z");
  CHECK(commit_timestamp(std::numeric_limits<std::int64_t>::min()) == "0001-01-01T00:00:00.000Z");
}

TEST_CASE("a time of commit is as long as Postgres writes it") {
  CHECK(commit_text_size(0) == std::string_view("2000-01-01 00:00:00+00").size());
  CHECK(commit_text_size(123'456) == std::string_view("2000-01-01 00:00:00.123456+00").size());
  CHECK(commit_text_size(120'000) == std::string_view("2000-01-01 00:00:00.12+00").size());
  CHECK(commit_text_size(1) == std::string_view("2000-01-01 00:00:00.000001+00").size());
  CHECK(commit_text_size(-500'000) == std::string_view("1999-12-31 23:59:59.5+00").size());
}

}  // namespace
}  // namespace rt::changes
