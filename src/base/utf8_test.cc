#include "base/utf8.h"

#include <doctest/doctest.h>

namespace rt {
namespace {

TEST_CASE(
    "every Unicode character is accepted and nothing else: surrogates, overlong forms and what lies above are "
    "refused") {
  for (std::uint32_t c = 0; c <= 0x10ffff; c += (c < 0x3000 ? 1 : 61)) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text;
    append_utf8(text, c);
    REQUIRE(is_valid_utf8(text));
    for (std::size_t cut = 1; cut < text.size(); ++cut) REQUIRE(!is_valid_utf8(text.substr(0, cut)));
  }
  for (const char* bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe", "a\xc3", "\xc3(", "12345678\xe2\x28\xa1"}) {
    CHECK(!is_valid_utf8(bad));
  }
}

TEST_CASE("a text cut anywhere is judged like the whole") {
  const std::string text = "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80 plain tail of ASCII";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Validator validator;
    CHECK(validator.feed(text.substr(0, cut)));
    CHECK(validator.feed(text.substr(cut)));
    CHECK(validator.complete());
  }
}

TEST_CASE("rubbish is refused at its first impossible byte, before the text is complete") {
  Utf8Validator validator;
  CHECK(validator.feed("ok \xf4"));
  CHECK(!validator.feed("\x90"));
  CHECK(!validator.feed("still refused"));
}

TEST_CASE("what is no character becomes one that says so, and all else stays") {
  CHECK(repaired_utf8("plain \xe2\x82\xac \xf0\x9f\x98\x80") == "plain \xe2\x82\xac \xf0\x9f\x98\x80");
  CHECK(repaired_utf8("Zo\xeb") == "Zo\xef\xbf\xbd");
  CHECK(repaired_utf8("\xe2\x82") == "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(repaired_utf8("\xc3(\xa9\xc3\xa9") == "\xef\xbf\xbd(\xef\xbf\xbd\xc3\xa9");
  CHECK(utf8_character_size("\xe2\x82\xac and more") == 3);
  CHECK(utf8_character_size("\xe2\x82") == 0);
  CHECK(utf8_character_size("") == 0);
}

}  // namespace
}  // namespace rt
