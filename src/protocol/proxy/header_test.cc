#include "protocol/proxy/header.h"

#include <doctest/doctest.h>

#include <string>

namespace rt::proxy {
namespace {

using namespace std::string_literals;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string v2(char command, char family, const std::string& rest) {
  const auto length = static_cast<unsigned>(rest.size());
  return kSignature + command + family + static_cast<char>(length >> 8) + static_cast<char>(length & 0xff) + rest;
}

const std::string kV4Addresses = "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"s;
const std::string kV6Addresses =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"s + "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"s + "\xdc\x04\x01\xbb"s;
const std::string kTlvs = "\x04\x00\x02\x00\x00"s + "\xea\x00\x05\x01vpce"s;

// Fed one byte more at a time, as a connection would. Returns the source, `none`, or the error; `left` is what follows.
std::string outcome(const std::string& bytes, std::string* left = nullptr) {
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const auto parsed = parse_header(std::string_view(bytes).substr(0, length));
    if (!parsed) return parsed.error().message;
    if (!*parsed) continue;
    CHECK((*parsed)->bytes == length);  // complete with its last byte, not sooner
    if (left) *left = bytes.substr(length);
    return (*parsed)->source ? (*parsed)->source->text() : "none";
  }
  return "incomplete";
}

TEST_CASE("both versions tell the source of a connection, and leave what follows alone") {
  for (const auto& [bytes, source] : std::vector<std::pair<std::string, std::string>>{
           {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7"},
           {"PROXY TCP6 2001:db8::9 2001:db8::1 0 65535\r\n", "2001:db8::9"},
           {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
            "65535\r\n",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
           {"PROXY UNKNOWN\r\n", "none"},
           {"PROXY UNKNOWN ffff::1 whatever 1 2\r\n", "none"},
           {v2('\x21', '\x11', kV4Addresses), "192.0.2.7"},
           {v2('\x21', '\x21', kV6Addresses), "2001:db8::9"},
           {v2('\x21', '\x11', kV4Addresses + kTlvs), "192.0.2.7"},
           {v2('\x21', '\x11', kV4Addresses + std::string(508, 'x')), "192.0.2.7"},
           {v2('\x20', '\x00', ""), "none"},
           {v2('\x20', '\x11', kV4Addresses), "none"},
           {v2('\x21', '\x00', kTlvs), "none"},
           {v2('\x21', '\x31', std::string(216, '/')), "none"},
           {v2('\x21', '\x12', kV4Addresses), "none"}}) {
    CAPTURE(bytes);
    std::string left;
    CHECK(outcome(bytes + "GET / HTTP/1.1\r\n", &left) == source);
    CHECK(left == "GET / HTTP/1.1\r\n");
    for (std::size_t length = 0; length < bytes.size(); ++length)
      CHECK(outcome(bytes.substr(0, length)) == "incomplete");
  }
}

TEST_CASE("what is no header is refused at its first wrong byte, and says why") {
  const std::string other = "it does not begin with a PROXY header";
  for (const auto& [bytes, error] : std::vector<std::pair<std::string, std::string>>{
           {"G", other},
           {"\x16\x03\x01", other},
           {"PROXY\r\n", other},
           {"\r\n\r\nGET", other},
           {"proxy TCP4", other},
           {"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", "the PROXY line has not its six words"},
           {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 9\r\n", "the PROXY line has not its six words"},
           {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n", "the PROXY line has not its six words"},
           {"PROXY \r\n", "the PROXY line has not its six words"},
           {"PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n",
            "the PROXY line names another family than TCP4 and TCP6"},
           {"PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n", "the PROXY line has a bad address"},
           {"PROXY TCP4 ::1 ::2 56324 443\r\n", "the PROXY line has a bad address"},
           {"PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n", "the PROXY line has a bad address"},
           {"PROXY TCP4 192.0.2.7 host 56324 443\r\n", "the PROXY line has a bad address"},
           {"PROXY TCP4  198.51.100.1 56324 443\r\n", "the PROXY line has a bad address"},
           {"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n", "the PROXY line has a bad port"},
           {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 0443\r\n", "the PROXY line has a bad port"},
           {"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n", "the PROXY line has a bad port"},
           {"PROXY UNKNOWN " + std::string(93, 'x') + "\r\n", "the PROXY line is longer than 107 bytes"},
           {"PROXY TCP4 " + std::string(200, ' '), "the PROXY line is longer than 107 bytes"},
           {v2('\x11', '\x11', kV4Addresses), "the PROXY header is of a version other than 1 and 2"},
           {v2('\x22', '\x11', kV4Addresses), "the PROXY header has a command other than LOCAL and PROXY"},
           {v2('\x21', '\x41', kV4Addresses), "the PROXY header names a family or transport that does not exist"},
           {v2('\x21', '\x13', kV4Addresses), "the PROXY header names a family or transport that does not exist"},
           {v2('\x21', '\x11', kV4Addresses.substr(1)), "the PROXY header is too short for its addresses"},
           {v2('\x21', '\x21', kV4Addresses), "the PROXY header is too short for its addresses"},
           {v2('\x21', '\x11', kV4Addresses + std::string(509, 'x')), "the PROXY header is longer than 536 bytes"}}) {
    CAPTURE(bytes);
    CHECK(outcome(bytes) == error);
  }
}

}  // namespace
}  // namespace rt::proxy
