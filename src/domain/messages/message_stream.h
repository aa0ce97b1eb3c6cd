// The rows of realtime.messages out of a replication stream.
//
// Every partition is a table of its own, and a user may have added columns to some, so what a field means is read off
// the table's description, which comes before its first row. Of what is not a new message nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"
#include "domain/messages/message_row.h"
#include "protocol/pgoutput/messages.h"

namespace rt::messages {

// Valid as long as the bytes, and until the next are taken.
struct Inserted {
  RowTexts row;
};
// The publication has a table that is none of ours: its rows are left out.
struct Foreign {
  std::string schema;
  std::string table;
};
struct Nothing {};
using StreamEvent = std::variant<Nothing, Inserted, Foreign>;

class MessageStream {
 public:
  // Partitions come and go; more tables than these are nobody's messages.
  static constexpr std::size_t kRelationsMax = 10'000;

  // One message of the output plugin. The error: it is no such message, or not in its place.
  Result<StreamEvent> take(std::string_view bytes);

 private:
  using Column = std::optional<std::string_view> RowTexts::*;
  // For each field of a row, where it goes; null: nowhere.
  using Places = std::vector<Column>;

  StreamEvent take_relation(const pgoutput::Relation& relation);
  Result<StreamEvent> take_insert(const pgoutput::Insert& insert) const;

  pgoutput::Parser parser_;
  std::unordered_map<std::uint32_t, Places> relations_;  // without columns: a foreign one
};

}  // namespace rt::messages
