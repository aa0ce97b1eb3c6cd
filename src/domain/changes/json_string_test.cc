#include "domain/changes/json_string.h"

#include <doctest/doctest.h>

#include "base/utf8.h"

namespace rt::changes {
namespace {

using namespace std::string_literals;

std::string string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  CHECK(json_string_size(text) == out.size());
  return out;
}

TEST_CASE("only quotes, backslashes and control characters are escaped") {
  CHECK(string("") == R"("")");
  CHECK(string("a/b é 😀 \x7f") == "\"a/b é 😀 \x7f\"");
  CHECK(string("say \"no\" \\ yes") == R"("say \"no\" \\ yes")");
  CHECK(string("\b\f\n\r\t") == R"("\b\f\n\r\t")");
  CHECK(string("\x01\x1f"s) == R"("\u0001\u001f")");
}

TEST_CASE("an escape is found wherever it stands") {
  for (const char c : {'"', '\\', '\n', '\x01', '\x1f'}) {
    for (std::size_t at = 0; at < 40; ++at) {
      std::string text(40, 'x');
      text[at] = c;
      const std::string before(at, 'x');
      const std::string behind(39 - at, 'x');
      CHECK(string(text).starts_with("\"" + before + "\\"));
      CHECK(string(text).ends_with(behind + "\""));
    }
  }
}

TEST_CASE("bytes of a database without an encoding become characters that JSON can have") {
  CHECK(string("Zo\xeb \"x\"") == "\"Zo\xef\xbf\xbd \\\"x\\\"\"");
  CHECK(string("\xff\xfe") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK(is_valid_utf8(string("ends in half of one \xe2\x82")));
}

}  // namespace
}  // namespace rt::changes
