#include "domain/changes/value_key.h"

#include <doctest/doctest.h>

#include <vector>

#include "domain/changes/time_value.h"

namespace rt::changes {
namespace {

std::optional<std::string> key(KeyKind kind, std::string_view text) {
  std::string room;
  const auto out = key_of(kind, text, room);
  if (!out) return std::nullopt;
  return std::string(*out);
}

void check_order(KeyKind kind, const std::vector<const char*>& ascending) {
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    CAPTURE(ascending[i]);
    REQUIRE(key(kind, ascending[i]));
    if (i > 0) CHECK(*key(kind, ascending[i - 1]) < *key(kind, ascending[i]));
  }
}

TEST_CASE("keys are in the order of the values") {
  check_order(KeyKind::kInteger, {"-9223372036854775808", "-1", "0", "1", "9", "10", "9223372036854775807"});
  check_order(KeyKind::kNumeric,
              {"-Infinity", "-100",  "-12.35", "-12.3", "-12", "-1.5", "-0.002", "-0.001", "0",        "0.001",
               "0.0010001", "0.002", "1.5",    "9",     "12",  "12.3", "12.35",  "100",    "Infinity", "NaN"});
  check_order(KeyKind::kFloat8, {"-Infinity", "-1e+300", "-1.5", "-1e-300", "0", "5e-324", "1e-07", "0.1", "1.5",
                                 "1e+300", "Infinity", "NaN"});
  check_order(KeyKind::kFloat4, {"-3.4028235e+38", "-1e-45", "0", "1e-45", "0.1", "16777216", "3.4028235e+38"});
  check_order(KeyKind::kDate,
              {"-infinity", "4713-01-01 BC", "0044-03-15 BC", "0001-12-31 BC", "0001-01-01", "1999-12-31", "2000-01-01",
               "2024-02-28", "2024-02-29", "2024-03-01", "9999-12-31", "10000-01-01", "5874897-12-31", "infinity"});
  check_order(KeyKind::kTime, {"00:00:00", "09:00:00", "12:34:56", "12:34:56.045", "12:34:56.5", "24:00:00"});
  check_order(KeyKind::kTimestamp, {"-infinity", "4713-01-01 00:00:00 BC", "0044-03-15 00:00:00 BC",
                                    "2024-02-29 12:34:56", "2024-02-29 12:34:56.000001", "2024-02-29 12:34:56.1",
                                    "10000-01-01 00:00:00", "294276-12-31 23:59:59.999999", "infinity"});
  check_order(KeyKind::kBool, {"f", "t"});
  check_order(KeyKind::kLsn, {"0/0", "0/FF", "0/100", "1/0", "16/B374D848", "FFFFFFFF/0"});
  check_order(KeyKind::kBytea, {"\\x", "\\x00", "\\x0001", "\\x01", "\\xff"});
}

TEST_CASE("texts of one value have one key") {
  const auto check_equal = [](KeyKind kind, const char* a, const char* b) {
    CAPTURE(a);
    REQUIRE(key(kind, a));
    CHECK(key(kind, a) == key(kind, b));
  };
  check_equal(KeyKind::kNumeric, "1.50", "1.5");
  check_equal(KeyKind::kNumeric, "100", "100.000");
  check_equal(KeyKind::kNumeric, "0.00", "0");
  check_equal(KeyKind::kFloat8, "-0", "0");
  check_equal(KeyKind::kBlanked, "ab   ", "ab");
  check_equal(KeyKind::kBlanked, "   ", "");
  check_equal(KeyKind::kBool, "t", "true");
  check_equal(KeyKind::kAddress, "10.0.0.1", "10.0.0.1/32");
  check_equal(KeyKind::kAddress, "::1", "::1/128");
  check_equal(KeyKind::kTimestamp, "2024-02-29 12:34:56+00", "2024-02-29 14:34:56+02");
  check_equal(KeyKind::kTimestamp, "2024-02-29 23:00:00-05:30", "2024-03-01 04:30:00+00");
  check_equal(KeyKind::kTimestamp, "1900-01-01 00:00:00-00:01:15", "1900-01-01 00:01:15+00");
  check_equal(KeyKind::kTimestamp, "0001-12-31 23:00:00-01 BC", "0001-01-01 00:00:00+00");
  CHECK(key(KeyKind::kAddress, "10.0.0.0/24") != key(KeyKind::kAddress, "10.0.0.0"));
  CHECK(key(KeyKind::kAddress, "::1/32") != key(KeyKind::kAddress, "::1"));
}

TEST_CASE("days are counted as the calendar has them") {
  CHECK(parse_date("2000-01-01") == 0);
  CHECK(parse_date("1970-01-01") == -10'957);
  CHECK(parse_date("2000-03-01") == 60);
  CHECK(parse_date("0001-01-01") == -730'119);
  CHECK(parse_date("0001-12-31 BC") == -730'120);
  CHECK(parse_timestamp("2000-01-01 00:00:00.00001") == 10);
}

TEST_CASE("a text that the type does not write has no key") {
  for (const char* text : {"", "x", "1x", "1e5", "1.2.3", "--1", " 1"}) CHECK_FALSE(key(KeyKind::kNumeric, text));
  for (const char* text : {"", "x", "1.5", "9223372036854775808"}) CHECK_FALSE(key(KeyKind::kInteger, text));
  for (const char* text : {"", "inf", "nan", "1e999", "0x10", "1 "}) CHECK_FALSE(key(KeyKind::kFloat8, text));
  for (const char* text : {"", "29.02.2024", "2024-2-29", "2024-02-29 AD", "2024-02-29 BC "})
    CHECK_FALSE(key(KeyKind::kDate, text));
  for (const char* text : {"", "2024-02-29", "2024-02-29T12:34:56", "2024-02-29 12:34:56.", "9999999-01-01 00:00:00"})
    CHECK_FALSE(key(KeyKind::kTimestamp, text));
  for (const char* text : {"", "12:34", "12:34:56+02", "1 day"}) CHECK_FALSE(key(KeyKind::kTime, text));
  for (const char* text : {"", "01", "\\001", "\\xAB"}) CHECK_FALSE(key(KeyKind::kBytea, text));
  for (const char* text : {"", "0", "/", "x/1"}) CHECK_FALSE(key(KeyKind::kLsn, text));
}

TEST_CASE("words for the present are found however they are quoted [PC-089]") {
  for (const char* text : {"now", "NOW", " today ", "tomorrow 12:00", "yesterday", "[now,)", R"({"2024-01-01","now"})",
                           R"({n\ow})", R"(("\"today\"",1))", "today12:00"})
    CHECK(mentions_time(text));
  for (const char* text : {"", "2024-01-01", "infinity", "epoch", "allballs", "nowhere", "known"})
    CHECK_FALSE(mentions_time(text));
}

}  // namespace
}  // namespace rt::changes
