#include <doctest/doctest.h>

#include <string>
#include <variant>

#include "protocol/pgoutput/lsn_text.h"
#include "protocol/pgoutput/messages.h"
#include "protocol/pgoutput/stream.h"

namespace rt::pgoutput {
namespace {

using namespace std::string_literals;

// As a server of Postgres 15 sent them for `CREATE TABLE t (id int PRIMARY KEY, name text)`.
const std::string kRelation =
    "R\x00\x00\x40\x01"
    "public\0t\0d\x00\x02"
    "\x01id\0\x00\x00\x00\x17\xff\xff\xff\xff"
    "\x00name\0\x00\x00\x00\x19\xff\xff\xff\xff"s;
const std::string kInsert = "I\x00\x00\x40\x01N\x00\x02t\x00\x00\x00\x01"s + "7t\x00\x00\x00\x03"s + "abc";

template <class T>
T parsed(Parser& parser, const std::string& bytes) {
  const auto message = parser.parse(bytes);
  REQUIRE(message);
  REQUIRE(std::holds_alternative<T>(*message));
  return std::get<T>(*message);
}

}  // namespace

TEST_CASE("a position is written and read as Postgres does") {
  CHECK(to_text({0x16'B374'D848}) == "16/B374D848");
  CHECK(to_text({0}) == "0/0");
  CHECK(parse_lsn("16/B374D848") == Lsn{0x16'B374'D848});
  CHECK(parse_lsn("FFFFFFFF/ffffffff") == Lsn{~std::uint64_t{0}});
  for (const char* bad : {"", "/", "1", "1/", "/1", "1/g", "100000000/0", "1/2/3", "-1/0"}) CHECK(!parse_lsn(bad));
}

TEST_CASE("pieces of the log and keepalives are told apart") {
  const std::string header =
      "\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00"s;
  const std::string piece = "w" + header + "abc";
  const auto data = parse_stream_message(piece);
  REQUIRE(data);
  CHECK(std::get<WalData>(*data).start == Lsn{0x10});
  CHECK(std::get<WalData>(*data).server_end == Lsn{0x20});
  CHECK(std::get<WalData>(*data).data == "abc");
  const auto keepalive = parse_stream_message("k" + header.substr(8) + "\x01"s);
  REQUIRE(keepalive);
  CHECK(std::get<Keepalive>(*keepalive).server_end == Lsn{0x20});
  CHECK(std::get<Keepalive>(*keepalive).wants_reply);
  CHECK(!parse_stream_message(""));
  CHECK(!parse_stream_message("x" + header));
  CHECK(!parse_stream_message("w" + header.substr(1)));
  CHECK(!parse_stream_message("k" + header.substr(8)));
}

TEST_CASE("a status update has its 34 bytes, and confirms what was flushed, not what was received") {
  const std::string update = make_status_update({0x20}, {0x10}, 1, Reply::kNotNeeded);
  CHECK(update ==
        "r\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x10"
        "\x00\x00\x00\x00\x00\x00\x00\x01\x00"s);
}

TEST_CASE("a status update may ask for an answer") {
  const std::string update = make_status_update({0x20}, {0x10}, 1, Reply::kWanted);
  CHECK(update.size() == 34);
  CHECK(update.back() == '\1');
}

TEST_CASE("a transaction is read from its begin to its commit") {
  Parser parser;
  const auto begin =
      parsed<Begin>(parser, "B\x00\x00\x00\x00\x00\x00\x00\x30\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x07"s);
  CHECK(begin.commit == Lsn{0x30});
  CHECK(begin.committed_micros == 5);
  CHECK(begin.transaction == 7);
  const auto relation = parsed<Relation>(parser, kRelation);
  CHECK(relation.schema == "public");
  CHECK(relation.name == "t");
  REQUIRE(relation.columns.size() == 2);
  CHECK(relation.columns[0].name == "id");
  CHECK(relation.columns[0].is_key);
  CHECK(relation.columns[0].type == 23);
  CHECK(relation.columns[1].name == "name");
  CHECK(!relation.columns[1].is_key);
  CHECK(relation.columns[1].type_modifier == -1);
  const auto insert = parsed<Insert>(parser, kInsert);
  CHECK(insert.relation == relation.id);
  REQUIRE(insert.row.size() == 2);
  CHECK(insert.row[0].bytes == "7");
  CHECK(insert.row[1].bytes == "abc");
  const auto commit = parsed<Commit>(
      parser, "C\x00\x00\x00\x00\x00\x00\x00\x00\x30\x00\x00\x00\x00\x00\x00\x00\x38\x00\x00\x00\x00\x00\x00\x00\x05"s);
  CHECK(commit.end == Lsn{0x38});
}

TEST_CASE("updates, deletes and truncates are read with what they have of the row before") {
  Parser parser;
  const std::string row = "\x00\x01t\x00\x00\x00\x01"s + "8";
  const std::string table = "\x00\x00\x40\x01"s;
  const std::string without_key = "U" + table + "N" + row;
  const auto plain = parsed<Update>(parser, without_key);
  CHECK(plain.before.empty());
  CHECK(plain.row[0].bytes == "8");
  const std::string with_key = "U" + table + "K" + "\x00\x02nu"s + "N" + row;
  const auto keyed = parsed<Update>(parser, with_key);
  REQUIRE(keyed.before.size() == 2);
  CHECK(keyed.before[0].kind == FieldKind::kNull);
  CHECK(keyed.before[1].kind == FieldKind::kUnchanged);
  const std::string bytes =
      "\x00\x01"
      "b\x00\x00\x00\x02"
      "\x01\x02"s;
  const std::string deletion = "D" + table + "O" + bytes;
  const auto deleted = parsed<Delete>(parser, deletion);
  CHECK(deleted.before[0].kind == FieldKind::kBinary);
  CHECK(parsed<Truncate>(parser, "T\x00\x00\x00\x02\x00"s + table + table).relations.size() == 2);
  parsed<Other>(parser, "Yanything");
}

TEST_CASE("what was cut off, or goes on too long, is refused at every byte") {
  Parser parser;
  for (const std::string& whole : {kRelation, kInsert}) {
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK(!parser.parse(whole.substr(0, size)));
    CHECK(!parser.parse(whole + "x"));
  }
  CHECK(!parser.parse("Z"));
  CHECK(!parser.parse("I\x00\x00\x40\x01N\xff\xff"s));  // 65,535 fields, of which there are none
  CHECK(!parser.parse("I\x00\x00\x40\x01N\x00\x01t\xff\xff\xff\xff"s));
}

}  // namespace rt::pgoutput
