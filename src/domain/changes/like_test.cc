#include "domain/changes/like.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace rt::changes {
namespace {

TEST_CASE("% is any sequence of characters, _ is one, \\ takes the next one as it is") {
  CHECK(is_like("", ""));
  CHECK_FALSE(is_like("", "a"));
  CHECK(is_like("%", ""));
  CHECK(is_like("a%c", "abbc"));
  CHECK_FALSE(is_like("a%c", "abbd"));
  CHECK(is_like("%b%", "abc"));
  CHECK(is_like("a_c", "abc"));
  CHECK_FALSE(is_like("a_c", "ac"));
  CHECK(is_like("%_%_%", "ab"));
  CHECK_FALSE(is_like("%_%_%", "a"));
  CHECK(is_like(R"(100\%)", "100%"));
  CHECK_FALSE(is_like(R"(100\%)", "1000"));
  CHECK(is_like(R"(a\_\\%)", R"(a_\b)"));
  CHECK(is_like(R"(%\%%)", "50% off"));
  CHECK_FALSE(is_like("abc", "ABC"));
}

TEST_CASE("a character is one, however many bytes it has") {
  CHECK(is_like("_", "ü"));
  CHECK(is_like("_%_", "日本"));
  CHECK_FALSE(is_like("_", "ab"));
  CHECK_FALSE(is_like("__", "😀"));
  CHECK(is_like(R"(\ü%)", "über"));
  CHECK(is_like("%ß", "Fuß"));
}

TEST_CASE("letters of ASCII in either case are the same where they are folded, and no others") {
  CHECK(is_like("A%z", "aBCZ", LetterCase::kFolded));
  CHECK(is_like(R"(\A)", "a", LetterCase::kFolded));
  CHECK_FALSE(is_like("[", "{", LetterCase::kFolded));
  CHECK_FALSE(is_like("Ä", "ä", LetterCase::kFolded));
}

TEST_CASE("a pattern ends in an escape when nothing is left to be escaped") {
  CHECK(ends_in_escape(R"(\)"));
  CHECK(ends_in_escape(R"(a\\\)"));
  CHECK_FALSE(ends_in_escape(R"(a\\)"));
  CHECK_FALSE(ends_in_escape(R"(\%)"));
  CHECK_FALSE(ends_in_escape(""));
}

// By trying every way.
bool is_like_plainly(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '%') {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (is_like_plainly(pattern.substr(1), text.substr(i))) return true;
    }
    return false;
  }
  if (text.empty()) return false;
  if (pattern[0] == '_') return is_like_plainly(pattern.substr(1), text.substr(1));
  if (pattern[0] == '\\') pattern.remove_prefix(1);
  return !pattern.empty() && pattern[0] == text[0] && is_like_plainly(pattern.substr(1), text.substr(1));
}

TEST_CASE("patterns match what trying every way finds") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto made_of = [&random](std::string_view letters, std::size_t length_max) {
    std::string out;
    for (auto left = random() % (length_max + 1); left > 0; --left) out += letters[random() % letters.size()];
    return out;
  };
  for (int round = 0; round < 20'000; ++round) {
    const std::string pattern = made_of("ab%%_\\", 8);
    const std::string text = made_of("ab%\\", 8);
    if (ends_in_escape(pattern)) continue;
    CAPTURE(pattern);
    CAPTURE(text);
    REQUIRE(is_like(pattern, text) == is_like_plainly(pattern, text));
  }
}

TEST_CASE("a pattern of many % costs no more than their product with the text") {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "%a";
  pattern += "b";
  CHECK_FALSE(is_like(pattern, std::string(20'000, 'a')));
}

}  // namespace
}  // namespace rt::changes
