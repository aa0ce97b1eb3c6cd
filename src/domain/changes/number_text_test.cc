#include "domain/changes/number_text.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

std::string number(std::string_view text) {
  std::string out;
  return append_number(out, text) ? out : "none" + out;
}

std::string zeros(std::size_t count) { return std::string(count, '0'); }

TEST_CASE("numbers keep all their digits and the places behind the point [PC-035]") {
  for (const std::string text : {"0", "7", "-7", "9223372036854775807", "-9223372036854775808", "1.10", "0.00", "-0.10",
                                 "123456789012345678901234567890.123456789012345678901234567890"}) {
    CHECK(number(text) == text);
  }
}

TEST_CASE("numbers have no exponent [PC-036]") {
  CHECK(number("1e5") == "100000");
  CHECK(number("1E+5") == "100000");
  CHECK(number("-1.5e3") == "-1500");
  CHECK(number("1e-7") == "0.0000001");
  CHECK(number("1.5e-07") == "0.00000015");
  CHECK(number("123.45e1") == "1234.5");
  CHECK(number("123.45e2") == "12345");
  CHECK(number("0.00123e4") == "12.3");
  CHECK(number("1.20e1") == "12.0");
  CHECK(number("120e-1") == "12.0");
  CHECK(number("1e300") == "1" + zeros(300));
  CHECK(number("4.9e-324") == "0." + zeros(323) + "49");
}

TEST_CASE("nothing is less than zero by its sign alone") {
  CHECK(number("-0") == "0");
  CHECK(number("-0.00") == "0.00");
  CHECK(number("-0e-3") == "0.000");
  CHECK(number("0e5") == "0");
}

TEST_CASE("what numeric cannot hold is no number, however short it is written") {
  CHECK(number("1e131071") == "1" + zeros(131'071));
  CHECK(number("1e131072") == "none");
  CHECK(number("0.00000000000001e131085") == "1" + zeros(131'071));
  CHECK(number("0.00000000000001e131086") == "none");
  CHECK(number("1e-16383") == "0." + zeros(16'382) + "1");
  CHECK(number("1e-16384") == "none");
  CHECK(number("0e-16383") == "0." + zeros(16'383));
  CHECK(number("0e-16384") == "none");
  CHECK(number("0e999999999") == "0");
  CHECK(number("0e9999999999") == "none");
  CHECK(number("1e99999999999999999999999") == "none");
  CHECK(number("1" + zeros(131'072)) == "none");
  CHECK(number("0." + zeros(16'384)) == "none");
}

TEST_CASE("what JSON would not take for a number is none") {
  for (const char* text :
       {"", "-", "+1", "01", ".5", "5.", "1e", "1e+", "1 ", " 1", "0x10", "NaN", "Infinity", "1_000"})
    CHECK(number(text) == "none");
}

}  // namespace
}  // namespace rt::changes
