// One row that was inserted, updated or deleted, as the write-ahead log tells it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/table.h"
#include "model/lsn.h"

namespace rt::changes {

enum class Action : std::uint8_t { kInsert, kUpdate, kDelete };

inline std::string_view name_of(Action action) {
  constexpr std::string_view kNames[] = {"INSERT", "UPDATE", "DELETE"};
  return kNames[static_cast<std::size_t>(action)];
}

struct Value {
  enum class Kind : std::uint8_t {
    kAbsent,  // not told: not of the replica identity, not published, or stored apart and unchanged
    kNull,
    kText,
    kFromBefore,  // stored apart and unchanged; the text is that of the old row, which had all columns. It is shown,
                  // but no filter matches it
  };
  Kind kind = Kind::kAbsent;
  std::string_view text{};  // as Postgres writes the type; valid as long as the batch

  bool is_shown() const { return kind != Kind::kAbsent; }
};

// By place in the columns of the table.
using Values = std::vector<Value>;

struct TableName {
  std::string schema;
  std::string name;
};

struct Change {
  Action action = Action::kInsert;
  std::shared_ptr<const Table> table;
  std::shared_ptr<const TableName> written_as;  // what the table was called then; null: as it is
  Values row;                                   // the new one; of a DELETE empty
  Values before;  // what is known of the old one: columns of the replica identity, or all; of an INSERT empty
  std::int64_t committed_micros = 0;  // since 2000-01-01 in UTC
  std::uint32_t transaction = 0;      // its 32-bit id
  std::size_t place = 0;              // by which whoever reads it knows it

  std::string_view schema_name() const { return written_as ? written_as->schema : table->schema; }
  std::string_view table_name() const { return written_as ? written_as->name : table->name; }

  // What filters look at.
  const Values& seen() const { return action == Action::kDelete ? before : row; }
};

}  // namespace rt::changes
