#include "main/http_url.h"

#include <doctest/doctest.h>

namespace rt::app {
namespace {

TEST_CASE("a URL names a host, a port and what is asked for there") {
  const auto url = parse_http_url("https://metrics.example.com/api/v1/import?a=b");
  REQUIRE(url);
  CHECK(url->uses_tls);
  CHECK(url->host == "metrics.example.com");
  CHECK(url->port == "443");
  CHECK(url->target == "/api/v1/import?a=b");
  CHECK(url->authority() == "metrics.example.com");

  CHECK(parse_http_url("http://127.0.0.1:4000")->target == "/");
  CHECK(parse_http_url("http://127.0.0.1:4000?x=1")->target == "/?x=1");
  CHECK(parse_http_url("http://127.0.0.1:4000")->authority() == "127.0.0.1:4000");
  CHECK(parse_http_url("http://[::1]:9091/push")->host == "::1");
  CHECK(parse_http_url("http://[::1]:9091/push")->port == "9091");
  CHECK(parse_http_url("http://[::1]/push")->authority() == "[::1]");
}

TEST_CASE("what is no URL of a server is refused, and the refusal does not repeat it") {
  for (const char* text :
       {"", "metrics.example.com", "ftp://a/", "http://", "http:///path", "http://a:port/", "http://a:/",
        "http://user:secret@a/", "http://a/with space", "http://a/#fragment", "http://a b/"}) {
    const auto url = parse_http_url(text);
    CHECK_MESSAGE(!url, text);
    if (!url) CHECK(url.error().message.find("secret") == std::string::npos);
  }
}

}  // namespace
}  // namespace rt::app
