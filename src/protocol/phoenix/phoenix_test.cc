#include <doctest/doctest.h>

#include "protocol/phoenix/encoder.h"
#include "protocol/phoenix/message.h"

namespace rt::phoenix {
namespace {

using ws::Opcode;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  int high = -1;
  for (const char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'A' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes += static_cast<char>(high << 4 | digit);
      high = -1;
    }
  }
  return bytes;
}

const std::string kPush = from_hex(
    "00 01 02 0E 09 37 31 34 72 65 61 6C 74 69 6D 65 3A 6C 6F 62 62 79 62 72 6F 61 64 63 61 73 74 DE AD BE EF");
const std::string kUserJson = from_hex(
    "03 01 02 0E 06 00 01 37 31 32 72 65 61 6C 74 69 6D 65 3A 6C 6F 62 62 79 63 75 72 73 6F 72 7B 22 78 22 3A 31 30 2C "
    "22 79 22 3A 32 30 7D");

TEST_CASE("only versions 1.0.x and 2.0.x have a serializer") {
  CHECK(parse_version("1.0.0") == Version::kV1);
  CHECK(parse_version("1.0.7") == Version::kV1);
  CHECK(parse_version("2.0.0") == Version::kV2);
  CHECK(parse_version("2.0.99") == Version::kV2);
  for (const char* bad : {"", "2", "2.0", "2.1.0", "1.1.0", "3.0.0", "0.0.0", "abc", "2.0.0.0", "2.0.", ".0.0", "2.0.x",
                          "02.0.0", " 2.0.0"}) {
    CHECK(!parse_version(bad));
  }
}

TEST_CASE("an object of version 1 is read in any member order, in text and binary frames") {
  Decoder decoder;
  const auto m = decoder.decode(
      Version::kV1, Opcode::kBinary,
      R"({"ref":7,"extra":[1],"payload":{"a":1.50},"event":"broad\u0063ast","topic":"realtime:a","join_ref":"1"})");
  REQUIRE(m);
  CHECK(m->ref == "7");
  CHECK(m->join_ref == "\"1\"");
  CHECK(m->topic == "realtime:a");
  CHECK(m->event == "broadcast");
  CHECK(std::get<JsonPayload>(m->payload).text == R"({"a":1.50})");
  CHECK(std::get<JsonPayload>(m->payload).term_size == 5 + 6 + 9);
  CHECK(
      decoder.decode(Version::kV1, Opcode::kText, R"({"topic":"t","event":"e","payload":null,"ref":null})")->join_ref ==
      kNull);
  for (const char* bad :
       {"", "[]", "nonsense", "{}", "{", "{,}", R"({"topic":"t","event":"e","payload":{},"ref":"1",})",
        R"({"topic":"t","event":"e","payload":{},"ref":"1"}x)", R"({"topic":"t" "event":"e","payload":{},"ref":"1"})",
        R"({"topic":"t","event":"e","payload":{},"ref":"1")", R"({"topic":"t","event":"e","payload":{},"ref":1 2})",
        R"({"topic":"t","event":"e","payload":{}})", R"({"event":"e","payload":{},"ref":"1"})",
        R"({"topic":"t","payload":{},"ref":"1"})", R"({"topic":"t","event":"e","ref":"1"})"}) {
    CHECK(!decoder.decode(Version::kV1, Opcode::kText, bad));
  }
}

TEST_CASE("an array of version 2 has at least five elements; more are ignored") {
  Decoder decoder;
  const auto m =
      decoder.decode(Version::kV2, Opcode::kText, R"( [ "1" , null, "realtime:\u00e9" ,"x", {"a":[1]} , true ] )");
  REQUIRE(m);
  CHECK(m->join_ref == "\"1\"");
  CHECK(m->ref == "null");
  CHECK(m->topic == "realtime:\xc3\xa9");
  CHECK(std::get<JsonPayload>(m->payload).text == R"({"a":[1]})");
  const auto odd = decoder.decode(Version::kV2, Opcode::kText, R"([1,2,3,[],"p"])");
  REQUIRE(odd);
  CHECK(!odd->topic);
  CHECK(!odd->event);
  for (const char* bad :
       {"", "[]", "{}", "[1,2,3,4]", "[1,2,\"t\",\"e\",{}", "[1,2,\"t\",\"e\",{}]x", "[1,2,\"t\",\"e\",{},]",
        "[1,2,\"t\",\"e\",{} {}]", "[1,2,\"t\",\"e\",{\"a\"}]", "[1,2,\"t\",\"e\",{},tru]"}) {
    CAPTURE(bad);
    CHECK(!decoder.decode(Version::kV2, Opcode::kText, bad));
  }
}

TEST_CASE("binary pushes are cut by their byte lengths") {
  Decoder decoder;
  const auto push = decoder.decode(Version::kV2, Opcode::kBinary, kPush);
  REQUIRE(push);
  CHECK(push->join_ref == "\"7\"");
  CHECK(push->ref == "\"14\"");
  CHECK(push->topic == "realtime:lobby");
  CHECK(push->event == "broadcast");
  CHECK(std::get<RawPayload>(push->payload).bytes == "\xde\xad\xbe\xef");

  const auto user = decoder.decode(Version::kV2, Opcode::kBinary, kUserJson);
  REQUIRE(user);
  CHECK(user->event == "broadcast");
  CHECK(std::get<UserPayload>(user->payload).event == "cursor");
  CHECK(std::get<UserPayload>(user->payload).is_json);
  CHECK(std::get<UserPayload>(user->payload).data == R"({"x":10,"y":20})");

  const std::size_t fields_end = kUserJson.size() - 15;
  for (std::size_t cut = 0; cut < fields_end; ++cut)
    CHECK(!decoder.decode(Version::kV2, Opcode::kBinary, kUserJson.substr(0, cut)));
  for (const char kind : {1, 2, 4, 9}) CHECK(!decoder.decode(Version::kV2, Opcode::kBinary, kind + kPush.substr(1)));
  std::string with_metadata = kUserJson;
  with_metadata[5] = 2;
  CHECK(!decoder.decode(Version::kV2, Opcode::kBinary, with_metadata));  // its first payload bytes are no JSON text
}

TEST_CASE("frames are written as each version spells them") {
  const ServerMessage reply{.join_ref = "\"1\"",
                            .ref = "\"7\"",
                            .topic = "realtime:a\"b",
                            .event = "phx_reply",
                            .payload = R"({"status":"ok","response":{}})"};
  CHECK(encode(Version::kV2, reply).substr(2) ==
        R"(["1","7","realtime:a\"b","phx_reply",{"status":"ok","response":{}}])");
  CHECK(encode(Version::kV1, reply).substr(2) ==
        R"({"topic":"realtime:a\"b","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"7"})");
  CHECK(encode_user_broadcast({"realtime:lobby", "cursor", "", true, R"({"x":10,"y":20})"})->substr(2) ==
        from_hex("04 0E 06 00 01 72 65 61 6C 74 69 6D 65 3A 6C 6F 62 62 79 63 75 72 73 6F 72 7B 22 78 22 3A 31 30 2C "
                 "22 79 22 3A 32 30 7D"));
  CHECK(encode_raw_broadcast("realtime:lobby", "broadcast", "\xde\xad\xbe\xef")->substr(2) ==
        from_hex("02 0E 09 72 65 61 6C 74 69 6D 65 3A 6C 6F 62 62 79 62 72 6F 61 64 63 61 73 74 DE AD BE EF"));
}

TEST_CASE("what does not fit the length bytes of a binary frame is not encoded") {
  CHECK(encode_user_broadcast({std::string(255, 't'), std::string(255, 'e'), "", false, ""}));
  CHECK(!encode_user_broadcast({std::string(256, 't'), "e", "", false, ""}));
  CHECK(!encode_user_broadcast({"t", std::string(256, 'e'), "", false, ""}));
  CHECK(!encode_user_broadcast({"t", "e", std::string(256, 'm'), false, ""}));
  CHECK(!encode_raw_broadcast(std::string(256, 't'), "e", ""));
}

}  // namespace
}  // namespace rt::phoenix
