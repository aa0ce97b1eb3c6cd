#include "protocol/websocket/reader.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace rt::ws {
namespace {

std::string masked(Opcode opcode, std::string_view payload, bool fin = true) {
  std::string out;
  out += static_cast<char>((fin ? 0x80 : 0) | static_cast<int>(opcode));
  const std::uint64_t n = payload.size();
  if (n <= 125) {
    out += static_cast<char>(0x80 | n);
  } else if (n <= 0xffff) {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(n >> 8);
    out += static_cast<char>(n);
  } else {
    out += static_cast<char>(0x80 | 127);
    for (int i = 7; i >= 0; --i) out += static_cast<char>(n >> (8 * i));
  }
  const std::string mask = "\x12\x34\xab\xcd";
  out += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

// What a reader makes of a stream that arrives in the given pieces: `T:text`, `B:bytes`, `ping:..`, `!1002`.
std::vector<std::string> read(const std::vector<std::string>& pieces, ReaderLimits limits = {}) {
  Reader reader;
  std::vector<std::string> seen;
  for (std::string piece : pieces) {
    std::span<char> in(piece);
    for (;;) {
      const Step step = reader.next(in, limits);
      if (step.kind == Step::Kind::kNeedMore) break;
      if (step.kind == Step::Kind::kViolation) {
        seen.push_back("!" + std::to_string(static_cast<int>(step.violation)));
        return seen;
      }
      const char* kind = step.kind == Step::Kind::kMessage ? (step.opcode == Opcode::kText ? "T:" : "B:")
                         : step.kind == Step::Kind::kPing  ? "ping:"
                         : step.kind == Step::Kind::kPong  ? "pong:"
                                                           : "close:";
      seen.push_back(kind + std::string(step.payload));
    }
    REQUIRE(in.empty());
  }
  return seen;
}

std::vector<std::string> bytewise(std::string_view stream) {
  std::vector<std::string> pieces;
  for (const char c : stream) pieces.emplace_back(1, c);
  return pieces;
}

using Seen = std::vector<std::string>;

TEST_CASE("a stream means the same however it is cut") {
  const std::string stream = masked(Opcode::kText, "hello") + masked(Opcode::kBinary, std::string(300, 'b')) +
                             masked(Opcode::kText, "fra", false) + masked(Opcode::kPing, "p") +
                             masked(Opcode::kContinuation, "gm", false) + masked(Opcode::kContinuation, "ent") +
                             masked(Opcode::kPong, "") + masked(Opcode::kText, "") +
                             masked(Opcode::kText, std::string(70'000, 'x')) + masked(Opcode::kClose, "\x03\xe8");
  const Seen expected = {"T:hello", "B:" + std::string(300, 'b'),    "ping:p",        "T:fragment", "pong:",
                         "T:",      "T:" + std::string(70'000, 'x'), "close:\x03\xe8"};
  CHECK(read({stream}) == expected);
  CHECK(read(bytewise(stream)) == expected);
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t n = 1 + random() % (round % 2 == 0 ? 40 : 9000);
      pieces.push_back(stream.substr(at, n));
      at += n;
    }
    REQUIRE(read(pieces) == expected);
  }
}

TEST_CASE("breaches of the protocol end with 1002 in whole and in cut streams") {
  const std::string bad[] = {
      std::string("\x81\x05hello"),                                    // no mask
      std::string("\xc1\x80\0\0\0\0", 6),                              // a reserved bit
      std::string("\x83\x80\0\0\0\0", 6),                              // a reserved opcode
      std::string("\x8b\x80\0\0\0\0", 6),                              // a reserved control opcode
      std::string("\x09\x80\0\0\0\0", 6),                              // a fragmented ping
      masked(Opcode::kPing, std::string(126, 'p')),                    // a long ping
      masked(Opcode::kContinuation, "x"),                              // nothing to continue
      masked(Opcode::kText, "a", false) + masked(Opcode::kText, "b"),  // a message within a message
      std::string("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14),           // a length of 64 bits
  };
  for (const std::string& stream : bad) {
    CHECK(read({stream}).back() == "!1002");
    CHECK(read(bytewise(stream)).back() == "!1002");
  }
}

TEST_CASE("a message over the limit is refused by its header, before its bytes arrive or memory is taken") {
  const ReaderLimits limits{.message_bytes_max = 1000};
  CHECK(read({masked(Opcode::kText, std::string(1000, 'a'))}, limits).back() == "T:" + std::string(1000, 'a'));
  CHECK(read({masked(Opcode::kText, std::string(1001, 'a')).substr(0, 8)}, limits).back() == "!1009");
  const std::string first = masked(Opcode::kText, std::string(600, 'a'), false);
  CHECK(read({first + masked(Opcode::kContinuation, std::string(401, 'a')).substr(0, 8)}, limits).back() == "!1009");
  CHECK(read({first + masked(Opcode::kContinuation, std::string(400, 'a'))}, limits).size() == 1);

  Reader reader;
  std::string announced = masked(Opcode::kBinary, std::string(900, 'a')).substr(0, 100);
  std::span<char> in(announced);
  CHECK(reader.next(in, limits).kind == Step::Kind::kNeedMore);
  CHECK(reader.bytes_held() < 500);
}

TEST_CASE("a reader between messages holds no memory") {
  Reader reader;
  std::string stream = masked(Opcode::kText, std::string(5000, 'a'));
  std::span<char> first(stream.data(), 100);
  CHECK(reader.next(first, {}).kind == Step::Kind::kNeedMore);
  CHECK(reader.bytes_held() > 0);
  std::span<char> rest(stream.data() + 100, stream.size() - 100);
  CHECK(reader.next(rest, {}).payload == std::string(5000, 'a'));
  CHECK(reader.next(rest, {}).kind == Step::Kind::kNeedMore);
  CHECK(reader.bytes_held() == 0);
}

TEST_CASE("where text is checked, invalid UTF-8 is refused at its first bad byte") {
  const ReaderLimits strict{.text = TextCheck::kUtf8};
  CHECK(read({masked(Opcode::kText, "\xc3\xa9")}, strict).back() == "T:\xc3\xa9");
  CHECK(read({masked(Opcode::kText, "\xc3", false) + masked(Opcode::kContinuation, "\xa9")}, strict).back() ==
        "T:\xc3\xa9");
  CHECK(read({masked(Opcode::kText, "a\xc3")}, strict).back() == "!1007");
  CHECK(read({masked(Opcode::kText, "\xed\xa0\x80 and more", true).substr(0, 9)}, strict).back() == "!1007");
  CHECK(read({masked(Opcode::kBinary, "\xff")}, strict).back() == "B:\xff");
  CHECK(read({masked(Opcode::kText, "\xff")}).back() == "T:\xff");
}

TEST_CASE("close codes are answered alike, and impossible ones refused") {
  const auto answer = [](std::uint16_t code, const std::string& reason = {}) {
    const std::string payload = std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + reason;
    const auto parsed = parse_close_payload(payload);
    return parsed ? static_cast<int>(**parsed) : -static_cast<int>(parsed.error());
  };
  for (const int code :
       {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}) {
    CHECK(answer(static_cast<std::uint16_t>(code)) == code);
  }
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    CHECK(answer(static_cast<std::uint16_t>(code)) == -1002);
  }
  CHECK(answer(1000, "bye") == 1000);
  CHECK(answer(1000, "\xff") == -1007);
  CHECK(!*parse_close_payload(""));
  CHECK(parse_close_payload("x").error() == CloseCode::kProtocolError);
}

TEST_CASE("frames are written with the shortest length form") {
  CHECK(make_frame(Opcode::kText, {"a", "bc"}) ==
        "\x81\x03"
        "abc");
  CHECK(make_frame(Opcode::kBinary, {std::string(126, 'x')}).substr(0, 4) == std::string("\x82\x7e\0\x7e", 4));
  CHECK(make_frame(Opcode::kBinary, {std::string(65536, 'x')}).substr(0, 10) ==
        std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10));
  CHECK(make_close_frame(1013) == "\x88\x02\x03\xf5");
  CHECK(make_close_frame(std::nullopt) == std::string("\x88\0", 2));
}

}  // namespace
}  // namespace rt::ws
