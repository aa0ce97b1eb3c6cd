#include "base/ip_address.h"

#include <doctest/doctest.h>

namespace rt {
namespace {

IpAddress address(std::string_view text) {
  const auto parsed = IpAddress::parse(text);
  REQUIRE_MESSAGE(parsed, text);
  return *parsed;
}

bool contains(std::string_view block, std::string_view text) {
  const auto parsed = IpBlock::parse(block);
  REQUIRE_MESSAGE(parsed, block);
  return parsed->contains(address(text));
}

TEST_CASE("addresses are read and written in their usual form, and an IPv4 peer of an IPv6 socket is an IPv4 one") {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "::1", "2001:db8::8a2e:370:7334"})
    CHECK(address(text).text() == text);
  CHECK(address("::ffff:192.0.2.1") == address("192.0.2.1"));
  CHECK(address("::ffff:192.0.2.1").text() == "192.0.2.1");
  CHECK(address("2001:DB8:0::1").text() == "2001:db8::1");
  CHECK(IpAddress{}.text() == "::");
  for (const char* text : {"", "192.0.2", "192.0.2.256", "192.0.2.1:80", "[::1]", "fe80::1%eth0", "localhost", " ::1",
                           "1.2.3.4.5.6.7.8.1.2.3.4.5.6.7.8.1.2.3.4.5.6.7.8"})
    CHECK_MESSAGE(!IpAddress::parse(text), text);
  CHECK(!IpAddress::parse(std::string_view("::1\0", 4)));
}

TEST_CASE("a block holds the addresses that begin with its bits, and no others") {
  CHECK(contains("10.0.0.0/8", "10.255.0.1"));
  CHECK(!contains("10.0.0.0/8", "11.0.0.1"));
  CHECK(contains("10.1.2.3/8", "10.9.9.9"));
  CHECK(contains("192.0.2.128/25", "192.0.2.255"));
  CHECK(!contains("192.0.2.128/25", "192.0.2.127"));
  CHECK(contains("192.0.2.1", "192.0.2.1"));
  CHECK(!contains("192.0.2.1", "192.0.2.2"));
  CHECK(contains("0.0.0.0/0", "203.0.113.9"));
  CHECK(!contains("0.0.0.0/0", "2001:db8::1"));
  CHECK(contains("::/0", "203.0.113.9"));
  CHECK(contains("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK(!contains("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(contains("::ffff:10.0.0.0/104", "10.1.1.1"));
  CHECK(!contains("10.0.0.0/8", "::a00:1"));
}

TEST_CASE("what is no block is refused with its text") {
  for (const char* text : {"", "/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/8/8", "::/129",
                           "example.com", "10.0.0.0/99999999999"}) {
    const auto parsed = IpBlock::parse(text);
    REQUIRE_MESSAGE(!parsed, text);
    CHECK(parsed.error().message.find('"' + std::string(text) + '"') == 0);
  }
}

}  // namespace
}  // namespace rt
