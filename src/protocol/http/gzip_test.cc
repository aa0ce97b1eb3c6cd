#include "protocol/http/gzip.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>

namespace rt::http {
namespace {

bool accepts(const std::string& accept_encoding) {
  return accepts_gzip({.method = "GET", .target = "/", .headers = {{"accept-encoding", accept_encoding}}});
}

bool has(const Response& response, std::string_view name, std::string_view value) {
  return std::ranges::any_of(response.headers,
                             [&](const Header& header) { return header.name == name && header.value == value; });
}

TEST_CASE("gzip is for clients that take it") {
  for (const char* yes : {"gzip", "deflate, GZIP", "gzip;q=0.5", "br;q=1.0, *", "*;q=0, gzip", "gzip ; q=1"})
    CHECK_MESSAGE(accepts(yes), yes);
  for (const char* no : {"", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "gzip;q=x", "notgzip"})
    CHECK_MESSAGE(!accepts(no), no);
  CHECK(!accepts_gzip({.method = "GET", .target = "/"}));
}

TEST_CASE("a long body shrinks and comes back, a short one stays, and one that would grow stays too") {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "metric{tenant=\"" + std::to_string(i) + "\"} 1\n";
  Response response{.body = text};
  gzip(response);
  CHECK(has(response, "content-encoding", "gzip"));
  CHECK(has(response, "vary", "accept-encoding"));
  CHECK(response.body.size() < text.size() / 4);
  std::string back(text.size(), '\0');
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(response.body.data());
  stream.avail_in = static_cast<uInt>(response.body.size());
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  inflateEnd(&stream);
  CHECK(back == text);

  Response small{.body = std::string(kGzipBytesMin - 1, 'a')};
  gzip(small);
  CHECK(small.body.size() == kGzipBytesMin - 1);
  CHECK(!has(small, "content-encoding", "gzip"));

  std::string noise(2000, '\0');
  unsigned state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  Response random{.body = noise};
  gzip(random);
  CHECK(random.body == noise);
  CHECK(!has(random, "content-encoding", "gzip"));
}

}  // namespace
}  // namespace rt::http
