#include "protocol/http/forwarded.h"

#include <doctest/doctest.h>

namespace rt::http {
namespace {

const std::vector<IpBlock> kTrusted{*IpBlock::parse("10.0.0.0/8"), *IpBlock::parse("2001:db8:1::/48")};

// With a header line for each of `lists`.
std::string client(std::string_view peer, const std::vector<std::string>& lists,
                   const std::vector<IpBlock>& trusted = kTrusted) {
  Request request{.method = "GET", .headers = {{"host", "h"}}};
  for (const std::string& list : lists) request.headers.push_back({"x-forwarded-for", list});
  return client_of(request, *IpAddress::parse(peer), trusted).text();
}

TEST_CASE("who is not trusted is the client, whatever it says") {
  CHECK(client("192.0.2.1", {"203.0.113.5"}) == "192.0.2.1");
  CHECK(client("10.0.0.1", {"203.0.113.5"}, {}) == "10.0.0.1");
  CHECK(client("192.0.2.1", {}) == "192.0.2.1");
}

TEST_CASE("the client is the nearest address that is not trusted, over all lines of the header") {
  CHECK(client("10.0.0.1", {"203.0.113.5"}) == "203.0.113.5");
  CHECK(client("::ffff:10.0.0.1", {"203.0.113.5"}) == "203.0.113.5");
  CHECK(client("10.0.0.1", {"198.51.100.9, 203.0.113.5,10.0.0.3 ,\t2001:db8:1::7"}) == "203.0.113.5");
  CHECK(client("10.0.0.1", {"198.51.100.9, 203.0.113.5", "10.0.0.3", "10.0.0.2"}) == "203.0.113.5");
  CHECK(client("10.0.0.1", {"198.51.100.9", "203.0.113.5"}) == "203.0.113.5");
}

TEST_CASE("where all are trusted, the client is the farthest of them") {
  CHECK(client("10.0.0.1", {"10.0.0.4, 10.0.0.3", "10.0.0.2"}) == "10.0.0.4");
  CHECK(client("10.0.0.1", {}) == "10.0.0.1");
  CHECK(client("10.0.0.1", {""}) == "10.0.0.1");
}

TEST_CASE("an entry may have a port, and one that is no address ends the list") {
  CHECK(client("10.0.0.1", {"203.0.113.5:4711"}) == "203.0.113.5");
  CHECK(client("10.0.0.1", {"[2001:db8::9]:4711"}) == "2001:db8::9");
  CHECK(client("10.0.0.1", {"2001:db8::9"}) == "2001:db8::9");
  for (const char* entry :
       {"unknown", "_hidden", "203.0.113.5 10.0.0.2", "[", "[]", "]", ":", ",", "203.0.113", "\"::1\""})
    CHECK_MESSAGE(client("10.0.0.1", {"203.0.113.5, " + std::string(entry) + ", 10.0.0.2"}) == "10.0.0.2", entry);
}

TEST_CASE("a list of trusted addresses without end is followed for so far only") {
  std::string list = "203.0.113.5";
  for (int i = 0; i < 5000; ++i) list += ",10.0.0.2";
  CHECK(client("10.0.0.1", {list}) == "10.0.0.2");
}

}  // namespace
}  // namespace rt::http
