#include "protocol/bus/codec.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/bus/wire.h"

namespace rt::bus {
namespace {

using namespace std::string_literals;

constexpr ReplicaId kA{1, 2};
constexpr ReplicaId kB{3, 4};

PresencePayload payload(const std::string& text) { return PresencePayload(text); }

PresenceDelta delta() {
  return {.sender = kA,
          .shard = 5,
          .from = 10,
          .to = 14,
          .births = {{11, 0, "room", "ann", payload("{\"x\":1}")},
                     {13, 2, "room", "", payload("")},
                     {14, 0, "", "ann", payload("{}")}},
          .gone = {2, 9}};
}

PresenceChunk chunk() {
  return {.sender = kA,
          .receiver = kB,
          .shard = 5,
          .id = 77,
          .replica = {6, 7},
          .after = 1,
          .through = 400,
          .top = 500,
          .kept = {2, 3, 300},
          .births = {{400, 0, "room", "ann", payload("{}")}}};
}

std::vector<BusMessage> examples() {
  return {Heartbeat{kA, 9, "north"},
          PresenceDigest{.sender = kA, .shard = 5, .versions = {{kA, 14}, {kB, 0}}},
          delta(),
          PresencePull{
              .sender = kA, .receiver = kB, .shard = 5, .id = 77, .replica = kB, .known = 8, .after = 9, .top = 10},
          chunk(),
          Fragment{kA, 1, 2, 3, "piece"}};
}

TEST_CASE("each message is decoded to what was encoded") {
  for (const BusMessage& message : examples()) {
    const auto decoded = decode(encode(message));
    REQUIRE(decoded);
    CHECK(decoded->index() == message.index());
    CHECK(encode(*decoded) == encode(message));
  }
  const auto back = std::get<PresenceDelta>(*decode(encode(delta())));
  CHECK(back.sender == kA);
  CHECK(back.shard == 5);
  CHECK(back.from == 10);
  CHECK(back.to == 14);
  CHECK(back.gone == delta().gone);
  REQUIRE(back.births.size() == 3);
  CHECK(back.births[1].clock == 13);
  CHECK(back.births[1].replaces == 2);
  CHECK(back.births[1].topic == "room");
  CHECK(back.births[1].key.empty());
  CHECK(back.births[1].payload.size() == 0);
  CHECK(back.births[2].topic.empty());
  CHECK(back.births[0].payload.view() == "{\"x\":1}");
  const auto back_chunk = std::get<PresenceChunk>(*decode(encode(chunk())));
  CHECK(back_chunk.kept == chunk().kept);
  CHECK(back_chunk.receiver == kB);
  CHECK(back_chunk.replica == ReplicaId{6, 7});
  CHECK(back_chunk.top == 500);
}

TEST_CASE("the bytes are those that any Protocol Buffers library writes for the schema") {
  CHECK(encode(Heartbeat{{1, 0x0102}, 300, "eu"}) ==
        "\x0a\x1b"
        "\x0a\x12\x09\x01\0\0\0\0\0\0\0\x11\x02\x01\0\0\0\0\0\0"
        "\x10\xac\x02"
        "\x1a\x02"
        "eu"s);
}

TEST_CASE("a message that was cut off anywhere, or has something behind it, is refused") {
  for (const BusMessage& message : examples()) {
    const std::string bytes = encode(message);
    for (std::size_t length = 0; length < bytes.size(); ++length) CHECK(!decode(bytes.substr(0, length)));
    CHECK(!decode(bytes + '\0'));
    CHECK(!decode(bytes + bytes));
  }
}

TEST_CASE("fields that a later version has added are skipped") {
  const std::string bytes = encode(Heartbeat{kA, 9, "north"});
  std::string body = bytes.substr(2);
  FieldWriter fields(body);
  fields.varint(1'000, 5);
  fields.bytes(1'001, "later");
  fields.fixed64(1'002, 7);
  std::string later;
  FieldWriter(later).bytes(1, body);
  const auto decoded = decode(later);
  REQUIRE(decoded);
  CHECK(std::get<Heartbeat>(*decoded) == Heartbeat{kA, 9, "north"});
}

TEST_CASE("a kind of message that is not known is an error that names it") {
  std::string bytes;
  FieldWriter(bytes).bytes(99, "whatever");
  const auto decoded = decode(bytes);
  REQUIRE(!decoded);
  CHECK(decoded.error().message == "a bus message of kind 99, which is not known here");
}

TEST_CASE("fields of another type, births without clock or payload, and clocks that stand still are refused") {
  const auto refuses = [](std::uint32_t kind, auto write) {
    std::string body;
    FieldWriter fields(body);
    write(fields);
    std::string bytes;
    FieldWriter(bytes).bytes(kind, body);
    return !decode(bytes);
  };
  CHECK(refuses(1, [](FieldWriter& fields) { fields.bytes(2, "text"); }));
  CHECK(refuses(1, [](FieldWriter& fields) { fields.varint(1, 5); }));
  CHECK(refuses(1, [](FieldWriter& fields) { fields.bytes(3, std::string(kRegionBytesMax + 1, 'x')); }));
  CHECK(refuses(3, [](FieldWriter& fields) { fields.varint(2, std::uint64_t{1} << 32); }));
  CHECK(refuses(3, [](FieldWriter& fields) { fields.bytes(6, "\x01\0"s); }));
  CHECK(refuses(3, [](FieldWriter& fields) { fields.bytes(6, "\x01\x80"); }));
  CHECK(refuses(3, [](FieldWriter& fields) { fields.bytes(5, "\x2a\0"s); }));   // no clock
  CHECK(refuses(3, [](FieldWriter& fields) { fields.bytes(5, "\x08\x01"); }));  // no payload
  CHECK(refuses(3, [](FieldWriter& fields) {
    std::string clocks;
    append_varint(clocks, UINT64_MAX);
    append_varint(clocks, 1);
    fields.bytes(6, clocks);
  }));
}

TEST_CASE("a message cannot make us keep more entries than its limit") {
  PresenceDelta many;
  for (std::uint64_t clock = 1; clock <= kBirthsMax + 1; ++clock)
    many.births.push_back({clock, 0, "t", "k", payload("")});
  CHECK(!decode(encode(many)));
  many.births.pop_back();
  CHECK(decode(encode(many)));
}

TEST_CASE("numbers of any size survive, and those of more than 64 bits are refused") {
  for (int bits = 0; bits <= 64; ++bits) {
    const std::uint64_t value = bits == 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
    std::string bytes;
    append_varint(bytes, value);
    std::string_view rest = bytes;
    CHECK(take_varint(rest) == value);
    CHECK(rest.empty());
  }
  std::string_view too_long = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
  CHECK(!take_varint(too_long));
  std::string_view endless = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
  CHECK(!take_varint(endless));
}

}  // namespace
}  // namespace rt::bus
