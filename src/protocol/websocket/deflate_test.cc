#include "protocol/websocket/deflate.h"

#include <doctest/doctest.h>

#include <random>

#include "protocol/websocket/reader.h"

namespace rt::ws {
namespace {

// The header of the answer to these offers; empty: none was acceptable.
std::string answer(const std::vector<std::string>& headers) {
  http::Request request;
  for (const std::string& value : headers) request.headers.push_back({"sec-websocket-extensions", value});
  const auto agreement = negotiate_deflate(request);
  return agreement ? to_header(*agreement) : "";
}

const std::string kPlain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

std::string payload_of(const std::string& frame) { return std::string(parse_server_frame(frame).payload); }

std::string random_text(std::mt19937& random, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "{\"x\":" + std::to_string(random() % 1000) + "},";
  text.resize(bytes);
  return text;
}

TEST_CASE("every acceptable offer of compression gets the same answer") {
  CHECK(answer({"permessage-deflate"}) == kPlain);
  CHECK(answer({"permessage-deflate; client_max_window_bits"}) == kPlain);
  CHECK(answer({" Permessage-Deflate ;Client_Max_Window_Bits=\"10\" ; server_no_context_takeover"}) == kPlain);
  CHECK(answer({"x-other; a=\"1,2;3\", permessage-deflate;client_no_context_takeover"}) == kPlain);
  CHECK(answer({"x-other", "permessage-deflate"}) == kPlain);
  CHECK(answer({"permessage-deflate; server_max_window_bits=10"}) == kPlain + "; server_max_window_bits=10");
}

TEST_CASE("an offer that we cannot keep to is passed over, and the next one counts") {
  for (const char* offer :
       {"", ";", ",,", "deflate", "permessage-deflate; unknown", "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09", "permessage-deflate; client_max_window_bits=1",
        "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_max_window_bits=\"1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover"}) {
    CAPTURE(offer);
    CHECK(answer({offer}).empty());
    CHECK(answer({std::string(offer) + ", permessage-deflate"}) == (std::string(offer).ends_with("\"1") ? "" : kPlain));
  }
}

TEST_CASE("what was compressed inflates to what it was") {
  Deflater deflater({.level = 6, .threshold_bytes = 100});
  Inflater inflater;
  std::mt19937 random(std::random_device{}());
  for (const std::size_t bytes : {100u, 1'000u, 20'000u, 300'000u, 1'000u, 3'000'000u, 101u}) {
    const std::string text = random_text(random, bytes);
    const auto frame = deflater.compress(make_frame(Opcode::kText, {text}));
    REQUIRE(frame);
    CHECK(frame->size() < bytes);
    CHECK((static_cast<unsigned char>((*frame)[0]) & 0x70) == 0x40);
    const auto back = inflater.inflate(payload_of(*frame), bytes);
    REQUIRE(back);
    CHECK(*back == text);
    CHECK(inflater.inflate(payload_of(*frame), bytes - 1).error() == CloseCode::kTooBig);
  }
}

TEST_CASE("a frame is left as it is where compressing it does not pay") {
  Deflater deflater({.level = 1, .threshold_bytes = 100});
  CHECK(!deflater.compress(make_frame(Opcode::kText, {std::string(99, 'x')})));
  CHECK(!deflater.compress(make_frame(Opcode::kPing, {std::string(100, 'x')})));
  CHECK(!deflater.compress(make_close_frame(1000)));
  std::mt19937 random(7);
  std::string noise(5'000, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  CHECK(!deflater.compress(make_frame(Opcode::kBinary, {noise})));
  CHECK(deflater.compress(make_frame(Opcode::kBinary, {std::string(100, 'x')})));
}

TEST_CASE("a bomb is defused before it has grown") {
  Deflater deflater({});
  Inflater inflater;
  const std::string zeros(4'000'000, '0');
  const std::string bomb = payload_of(*deflater.compress(make_frame(Opcode::kText, {zeros})));
  REQUIRE(bomb.size() < zeros.size() / 500);
  CHECK(inflater.inflate(bomb, zeros.size()).error() == CloseCode::kTooBig);
  // What is small is no bomb, however well it shrinks.
  const std::string small(200'000, '0');
  const auto back = inflater.inflate(payload_of(*deflater.compress(make_frame(Opcode::kText, {small}))), 1'000'000);
  REQUIRE(back);
  CHECK(*back == small);
}

TEST_CASE("what is no deflate stream, or only part of one, is invalid") {
  Inflater inflater;
  CHECK(inflater.inflate("\xff\xff\xff", 1000).error() == CloseCode::kInvalidPayload);
  Deflater deflater({.threshold_bytes = 1});
  std::mt19937 random(11);
  const std::string whole = payload_of(*deflater.compress(make_frame(Opcode::kText, {random_text(random, 5'000)})));
  CHECK(inflater.inflate(whole, 5'000));
  CHECK(inflater.inflate(whole.substr(0, whole.size() / 2), 5'000).error() == CloseCode::kInvalidPayload);
  CHECK(inflater.inflate(std::string("\x00", 1), 10).value().empty());  // RFC 7692 7.2.3.6
}

TEST_CASE("a message may consist of several deflate streams") {
  Inflater inflater;
  const std::string final_hello("\xf3\x48\xcd\xc9\xc9\x07\x00", 7);  // RFC 7692 7.2.3.4, with its octet of zero behind
  CHECK(inflater.inflate(final_hello + std::string(1, '\0'), 100).value() == "Hello");
  CHECK(inflater.inflate(final_hello + final_hello + std::string(1, '\0'), 100).value() == "HelloHello");
  CHECK(inflater.inflate(std::string("\x72\x06\x04", 3), 100).value() == "C");  // its last block begins in the tail
  std::string many;
  for (int i = 0; i <= Inflater::kStreamsMax; ++i) many += std::string("\x03\x00", 2);
  CHECK(inflater.inflate(many, 100).error() == CloseCode::kInvalidPayload);
}

}  // namespace
}  // namespace rt::ws
