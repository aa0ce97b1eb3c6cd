#include "base/base64.h"

#include <doctest/doctest.h>

namespace rt {
namespace {

TEST_CASE("base64 matches the examples of RFC 4648 and decodes what it encodes") {
  CHECK(base64_encode("") == "");
  CHECK(base64_encode("f") == "Zg==");
  CHECK(base64_encode("fo") == "Zm8=");
  CHECK(base64_encode("foobar") == "Zm9vYmFy");
  CHECK(base64url_encode("\xfb\xff") == "-_8");
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    CHECK(base64url_decode(base64url_encode(bytes)) == bytes);
    CHECK(base64_decode(base64_encode(bytes)) == bytes);
    bytes += static_cast<char>(i * 7);
  }
}

TEST_CASE("base64 has exactly one text for some bytes") {
  CHECK(base64_decode("Zm8=") == "fo");
  for (const char* text : {"Zm8", "Zm8==", "Zm9=", "Zg=", "Z===", "====", "=", "Zm8=Zm8=", "-_8=", "Zm 8",
                           "Zh==", "Zm8=\n", "\xff\xff\xff\xff", "Zm9v=", "Zm9vZ", "Zm9vZg", "Zm9vZm8"}) {
    CAPTURE(text);
    CHECK(!base64_decode(text));
  }
}

TEST_CASE("base64url refuses padding, foreign characters and impossible lengths") {
  CHECK(!base64url_decode("Zg=="));
  CHECK(!base64url_decode("a+b/"));
  CHECK(!base64url_decode("abcde"));
  CHECK(!base64url_decode("ab c"));
}

}  // namespace
}  // namespace rt
