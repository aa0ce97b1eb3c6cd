// What the output plugin pgoutput says of a transaction, in protocol version 1: its bounds, the tables, and the rows.
//
// Everything is a view into the bytes it was read from, valid as long as they and, of rows, until the next message is
// read.
//
// https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/lsn.h"

namespace rt::pgoutput {

struct Begin {
  Lsn commit;                         // where the commit is in the log
  std::int64_t committed_micros = 0;  // when it was, since 2000-01-01 in UTC
  std::uint32_t transaction = 0;
};

struct Commit {
  Lsn commit;
  Lsn end;  // of the transaction; whoever has confirmed it is not told of it again
};

struct Column {
  std::string_view name;
  std::uint32_t type = 0;  // oid
  std::int32_t type_modifier = -1;
  bool is_key = false;  // of the replica identity
};

// A table, as its rows that follow have it. Comes before its first row, and again when it has changed.
struct Relation {
  std::uint32_t id = 0;     // oid
  std::string_view schema;  // empty: pg_catalog
  std::string_view name;
  std::span<const Column> columns;
};

enum class FieldKind : std::uint8_t {
  kNull,
  kUnchanged,  // stored apart, and not touched by the update
  kText,
  kBinary,
};
struct Field {
  FieldKind kind = FieldKind::kNull;
  std::string_view bytes;
};
using Row = std::span<const Field>;

struct Insert {
  std::uint32_t relation = 0;
  Row row;
};
struct Update {
  std::uint32_t relation = 0;
  Row before;  // empty: the key did not change, and the replica identity is no more than that
  Row row;
};
struct Delete {
  std::uint32_t relation = 0;
  Row before;
};
struct Truncate {
  std::vector<std::uint32_t> relations;
};
// An origin, a type, a message of pg_logical_emit_message.
struct Other {};

using Message = std::variant<Begin, Commit, Relation, Insert, Update, Delete, Truncate, Other>;

class Parser {
 public:
  Result<Message> parse(std::string_view bytes);

 private:
  std::vector<Column> columns_;
  std::vector<Field> before_;
  std::vector<Field> row_;
};

}  // namespace rt::pgoutput
