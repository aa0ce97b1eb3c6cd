// Rows out of the messages of pgoutput, by place in the columns of their tables as the catalog has them.
//
// A table is described once in a stream, before its first row, and again when it has changed. The catalog, which is
// asked for the rest, may be ahead of that description, so columns meet by their names: what only one of the two has is
// absent, and so is what has the name of another column by now.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "domain/changes/change.h"
#include "domain/changes/table.h"
#include "protocol/pgoutput/messages.h"

namespace rt::changes {

class RowReader {
 public:
  // More tables are described than any database with row changes should have: the stream has to begin anew.
  static constexpr std::size_t kTablesMax = 200'000;

  // Everything is described anew from now on.
  void clear() { tables_.clear(); }

  // True: it is not what it was, so the catalog has to be looked at before its rows are read.
  Result<bool> describe(const pgoutput::Relation& relation);
  // Null: it was not described.
  const TableName* find(Oid table) const;

  // What rows are read as. Where the table was not described yet, as soon as it is.
  void bind(const std::shared_ptr<const Table>& table);
  void unbind(Oid table);

  // `message` is an Insert, an Update or a Delete; its bytes outlive the change. nullopt: of a table that is not bound.
  Result<std::optional<Change>> read(const pgoutput::Message& message) const;

 private:
  struct Field {
    std::string name;
    Oid type = 0;
    bool is_key = false;  // of the replica identity
    bool operator==(const Field&) const = default;
  };
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  struct Described {
    bool is_described = false;
    std::shared_ptr<const TableName> names;
    std::vector<Field> fields;
    std::shared_ptr<const Table> table;  // null: not bound
    std::vector<std::size_t> places;     // of each field in the columns of the table, or kNowhere
  };

  static void place(Described& described);
  static Values values_of(const Described& described, pgoutput::Row row, bool is_key_only);

  std::unordered_map<Oid, Described> tables_;
};

}  // namespace rt::changes
