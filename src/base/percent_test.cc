#include "base/percent.h"

#include <doctest/doctest.h>

namespace rt {
namespace {

TEST_CASE("percent sequences become bytes, once, and nothing else changes") {
  CHECK(percent_decode("") == "");
  CHECK(percent_decode("plain+text") == "plain+text");
  CHECK(percent_decode("%41%2e%7E") == "A.~");
  CHECK(percent_decode("%2541") == "%41");
  CHECK(percent_decode("a%00b%ff") == std::string("a\0b\xff", 4));
}

TEST_CASE("any bytes become a part of a URL, and come back") {
  CHECK(percent_encode("aZ09-_.~") == "aZ09-_.~");
  CHECK(percent_encode("a b/%\xff") == "a%20b%2F%25%FF");
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  CHECK(percent_decode(percent_encode(all)) == all);
}

TEST_CASE("a percent sign without two hex digits is refused") {
  for (const char* text : {"%", "a%", "%4", "%4g", "%g4", "% 4", "%+4", "%-1", "%%41"}) {
    CAPTURE(text);
    CHECK(!percent_decode(text));
  }
}

}  // namespace
}  // namespace rt
