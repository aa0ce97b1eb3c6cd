#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "domain/messages/confirmations.h"
#include "domain/messages/message_row.h"
#include "domain/messages/message_stream.h"
#include "domain/messages/recent_ids.h"

namespace rt::messages {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;

RowTexts good_row() {
  return {.id = "0b5d3f9e-7c1a-4f0e-9d2b-8a6c4e2f1d00",
          .topic = "room",
          .event = "said",
          .is_private = "t",
          .inserted_at = "2026-01-01 00:00:00",
          .payload = R"({"price": 1.10})",
          .binary_payload = std::nullopt};
}

std::string_view reason_of(const RowTexts& row, std::uint64_t bytes_max = 1'000) {
  const auto read = read_row(row, bytes_max);
  return read ? "" : read.error().reason;
}

std::string uuid(int number) {
  const std::string digits = std::to_string(number);
  return "00000000-0000-4000-8000-" + std::string(12 - digits.size(), '0') + digits;
}

// --- As the plugin writes it

std::string int16(std::size_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
std::string int32(std::size_t value) { return int16(value >> 16) + int16(value & 0xffff); }

std::string relation(std::size_t id, const std::string& schema, const std::string& name,
                     const std::vector<std::string>& columns) {
  std::string out = "R" + int32(id) + schema + "\0"s + name + "\0d"s + int16(columns.size());
  for (const std::string& column : columns) out += "\0"s + column + "\0"s + int32(25) + int32(0xffff'ffff);
  return out;
}

std::string insert(std::size_t id, const std::vector<std::string>& fields) {
  std::string out = "I" + int32(id) + "N" + int16(fields.size());
  for (const std::string& field : fields) out += field == "NULL" ? "n" : "t" + int32(field.size()) + field;
  return out;
}

template <class T>
T taken(MessageStream& stream, const std::string& bytes) {
  auto event = stream.take(bytes);
  REQUIRE(event);
  REQUIRE(std::holds_alternative<T>(*event));
  return std::get<T>(*std::move(event));
}

}  // namespace

TEST_CASE("a row is broadcast as it is stored, numbers and spaces included") {
  const auto row = read_row(good_row(), 1'000);
  REQUIRE(row);
  CHECK(row->body == R"({"price": 1.10})");
  CHECK(row->is_private);
  CHECK(!row->is_binary);
}

TEST_CASE("bytes are broadcast as bytes, none of them too") {
  RowTexts row = good_row();
  row.payload = std::nullopt;
  row.binary_payload = "\\x00fF10";
  CHECK(read_row(row, 3)->body == "\x00\xff\x10"s);
  CHECK(reason_of(row, 2) == ":payload_size_exceeded");
  row.binary_payload = "\\x";
  const auto empty = read_row(row, 3);
  REQUIRE(empty);
  CHECK(empty->is_binary);
  CHECK(empty->body.empty());
}

TEST_CASE("a row that lacks something is skipped for the first thing that it lacks") {
  RowTexts row;
  CHECK(reason_of(row) == ":inserted_at_missing");
  row.inserted_at = "2026-01-01 00:00:00";
  CHECK(reason_of(row) == ":event_missing");
  row.event = "said";
  CHECK(reason_of(row) == ":id_missing");
  const std::string id = uuid(1);
  row.id = id;
  CHECK(reason_of(row) == ":topic_missing");
  row.topic = "room";
  CHECK(reason_of(row) == ":private_missing");
  row.is_private = "f";
  CHECK(reason_of(row) == ":payload_missing");
  row.payload = "null";
  CHECK(reason_of(row).empty());
}

TEST_CASE("a body may have the bytes that its tenant allows, and not one more") {
  CHECK(body_bytes_max(3000) == 3'000'494);
  RowTexts row = good_row();
  const std::string body(494, '1');
  row.payload = body;
  CHECK(reason_of(row, body_bytes_max(0)).empty());
  const std::string longer(495, '1');
  row.payload = longer;
  CHECK(reason_of(row, body_bytes_max(0)) == ":payload_size_exceeded");
}

TEST_CASE("the time of a row is read in microseconds, and what is no such time is none") {
  CHECK(micros_of("2000-01-01 00:00:00") == 0);
  CHECK(micros_of("2000-01-02 01:02:03.5") == 90'123'500'000);
  CHECK(micros_of("1999-12-31 23:59:59.999999") == -1);
  for (const char* bad :
       {"", "infinity", "-infinity", "2000-01-01", "2000-13-01 00:00:00", "2000-01-01 00:00:00+00",
        "12000-01-01 00:00:00", "0044-03-15 00:00:00 BC", "2000-01-01 00:00:00.", "2000-01-01 00:00:00.1234567"})
    CHECK(!micros_of(bad));
}

TEST_CASE("columns are found by name, wherever they stand in a partition, and others do not matter") {
  MessageStream stream;
  taken<Nothing>(stream, relation(1, "realtime", "messages_2026_01_01", {"mood", "payload", "id", "topic"}));
  taken<Nothing>(stream, relation(2, "realtime", "messages_2026_01_02", {"id", "payload", "topic"}));
  const std::string first = insert(1, {"glad", "{}", uuid(1), "room"});
  const auto one = taken<Inserted>(stream, first).row;
  CHECK(one.id == uuid(1));
  CHECK(one.payload == "{}");
  CHECK(one.topic == "room");
  const std::string second = insert(2, {uuid(2), "NULL", "hall"});
  const auto two = taken<Inserted>(stream, second).row;
  CHECK(two.id == uuid(2));
  CHECK(!two.payload);
  CHECK(two.topic == "hall");
}

TEST_CASE("a table that is none of ours is told of, and its rows are left out") {
  MessageStream stream;
  const auto foreign = taken<Foreign>(stream, relation(7, "public", "messages", {"id"}));
  CHECK(foreign.schema == "public");
  CHECK(foreign.table == "messages");
  taken<Nothing>(stream, insert(7, {"1"}));
  CHECK(!stream.take(insert(8, {"1"})));
}

TEST_CASE("an id is new once, until ten thousand others have come") {
  RecentIds ids;
  CHECK(ids.add(uuid(0)));
  CHECK(!ids.add(uuid(0)));
  for (int i = 1; i < 10'000; ++i) CHECK(ids.add(uuid(i)));
  CHECK(!ids.add(uuid(0)));
  CHECK(ids.add(uuid(10'000)));
  CHECK(ids.add(uuid(0)));
  CHECK(ids.size() == RecentIds::kIdsMax);
  CHECK(ids.add("no uuid"));
  CHECK(ids.add("no uuid"));
}

TEST_CASE("a position is confirmed once its messages were delivered and the window has passed, not earlier") {
  Confirmations confirmations(milliseconds(2'000));
  Time now{std::chrono::hours(1)};
  auto receipt = confirmations.receipt(now);
  confirmations.ended({10}, now);
  now += milliseconds(5'000);
  CHECK(confirmations.confirmed(now) == Lsn{0});  // somebody has not got it
  receipt.reset();
  CHECK(confirmations.confirmed(now) == Lsn{0});
  now += milliseconds(1'999);
  CHECK(confirmations.confirmed(now) == Lsn{0});
  now += milliseconds(1);
  CHECK(confirmations.confirmed(now) == Lsn{10});
  CHECK(confirmations.is_all_delivered());
}

TEST_CASE("what was delivered early waits for what came before it") {
  Confirmations confirmations(milliseconds(0));
  Time now{std::chrono::hours(1)};
  auto first = confirmations.receipt(now);
  now += Confirmations::kShared;
  confirmations.ended({10}, now);
  confirmations.receipt(now);
  confirmations.ended({20}, now + Confirmations::kShared);
  now += milliseconds(1'000);
  CHECK(confirmations.confirmed(now) == Lsn{0});
  first.reset();
  CHECK(confirmations.confirmed(now) == Lsn{20});
}

TEST_CASE("while nothing waits, the position follows the server, also past what is for nobody") {
  Confirmations confirmations(milliseconds(0));
  Time now{std::chrono::hours(1)};
  confirmations.nothing_until({100});
  CHECK(confirmations.confirmed(now) == Lsn{100});
  auto receipt = confirmations.receipt(now);
  confirmations.nothing_until({150});  // within the transaction: it says nothing
  confirmations.ended({120}, now);
  confirmations.nothing_until({200});
  now += Confirmations::kShared;
  CHECK(confirmations.confirmed(now) == Lsn{100});
  receipt.reset();
  CHECK(confirmations.confirmed(now) == Lsn{200});
  confirmations.nothing_until({50});
  CHECK(confirmations.confirmed(now) == Lsn{200});
}

TEST_CASE("a transaction that ends with the node's death is not confirmed in halves") {
  Confirmations confirmations(milliseconds(0));
  Time now{std::chrono::hours(1)};
  confirmations.receipt(now);
  confirmations.ended({10}, now);
  auto second = confirmations.receipt(now);  // of a transaction that goes on
  now += milliseconds(1'000);
  CHECK(confirmations.confirmed(now) == Lsn{0});
  second.reset();
  CHECK(confirmations.confirmed(now) == Lsn{10});
}

}  // namespace rt::messages
