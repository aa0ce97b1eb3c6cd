#include "domain/messages/message_stream.h"

#include <utility>

namespace rt::messages {
namespace {

constexpr std::pair<std::string_view, std::optional<std::string_view> RowTexts::*> kColumns[] = {
    {"id", &RowTexts::id},
    {"topic", &RowTexts::topic},
    {"event", &RowTexts::event},
    {"private", &RowTexts::is_private},
    {"inserted_at", &RowTexts::inserted_at},
    {"payload", &RowTexts::payload},
    {"binary_payload", &RowTexts::binary_payload}};

bool is_of_messages(const pgoutput::Relation& relation) {
  return relation.schema == "realtime" && relation.name.starts_with("messages");
}

}  // namespace

Result<StreamEvent> MessageStream::take(std::string_view bytes) {
  const auto message = parser_.parse(bytes);
  if (!message) return tl::make_unexpected(message.error());
  if (const auto* relation = std::get_if<pgoutput::Relation>(&*message)) return take_relation(*relation);
  if (const auto* insert = std::get_if<pgoutput::Insert>(&*message)) return take_insert(*insert);
  return Nothing{};
}

StreamEvent MessageStream::take_relation(const pgoutput::Relation& relation) {
  // The server describes a table again when it is asked to forget none, so all are known anew soon.
  if (relations_.size() >= kRelationsMax) relations_.clear();
  Places& places = relations_[relation.id];
  places.clear();
  if (!is_of_messages(relation)) return Foreign{std::string(relation.schema), std::string(relation.name)};
  for (const pgoutput::Column& column : relation.columns) {
    Column place = nullptr;
    for (const auto& [name, member] : kColumns) {
      if (column.name == name) place = member;
    }
    places.push_back(place);
  }
  return Nothing{};
}

Result<StreamEvent> MessageStream::take_insert(const pgoutput::Insert& insert) const {
  const auto found = relations_.find(insert.relation);
  if (found == relations_.end()) return fail("a row of a table that was not described");
  const Places& places = found->second;
  if (places.empty()) return Nothing{};
  if (insert.row.size() > places.size()) return fail("a row with more fields than its table has columns");
  Inserted out;
  for (std::size_t i = 0; i < insert.row.size(); ++i) {
    const pgoutput::Field& field = insert.row[i];
    if (places[i] != nullptr && field.kind == pgoutput::FieldKind::kText) out.row.*places[i] = field.bytes;
  }
  return out;
}

}  // namespace rt::messages
