#include "domain/changes/row_reader.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace rt::changes {
namespace {

using pgoutput::FieldKind;

bool is_text(const Value& value) { return value.kind == Value::Kind::kText; }

}  // namespace

Result<bool> RowReader::describe(const pgoutput::Relation& relation) {
  if (tables_.size() >= kTablesMax && !tables_.contains(relation.id)) return fail("too many tables are described");
  Described& described = tables_[relation.id];
  TableName names{relation.schema.empty() ? "pg_catalog" : std::string(relation.schema), std::string(relation.name)};
  std::vector<Field> fields;
  fields.reserve(relation.columns.size());
  for (const pgoutput::Column& column : relation.columns)
    fields.push_back({std::string(column.name), column.type, column.is_key});
  const bool is_same = described.is_described && described.names->schema == names.schema &&
                       described.names->name == names.name && described.fields == fields;
  if (is_same) return false;
  described.is_described = true;
  described.names = std::make_shared<const TableName>(std::move(names));
  described.fields = std::move(fields);
  place(described);
  return true;
}

const TableName* RowReader::find(Oid table) const {
  const auto found = tables_.find(table);
  return found == tables_.end() || !found->second.is_described ? nullptr : found->second.names.get();
}

void RowReader::bind(const std::shared_ptr<const Table>& table) {
  Described& described = tables_[table->oid];
  described.table = table;
  place(described);
}

void RowReader::unbind(Oid table) {
  const auto found = tables_.find(table);
  if (found == tables_.end()) return;
  found->second.table.reset();
  found->second.places.clear();
}

// Both are in the order of the columns' numbers. Where that tells that names have moved from one column to another,
// nothing is told under the name of another one, whose readers are others.
void RowReader::place(Described& described) {
  described.places.clear();
  if (!described.table) return;
  struct Sent {
    std::size_t place = 0;
    std::size_t order = 0;  // among those that are in the log
  };
  std::unordered_map<std::string_view, Sent> sent;
  std::size_t count = 0;
  for (std::size_t i = 0; i < described.table->columns.size(); ++i) {
    const TableColumn& column = described.table->columns[i];
    if (!column.is_generated) sent[column.name] = {i, count++};
  }
  const bool has_same_count = count == described.fields.size();
  bool have_moved = false;
  std::optional<std::size_t> last;
  for (std::size_t i = 0; i < described.fields.size(); ++i) {
    const auto found = sent.find(described.fields[i].name);
    if (found == sent.end() || (has_same_count && found->second.order != i)) {
      described.places.push_back(kNowhere);
      continue;
    }
    have_moved = have_moved || (last && found->second.order <= *last);
    last = found->second.order;
    described.places.push_back(found->second.place);
  }
  if (have_moved) described.places.assign(described.fields.size(), kNowhere);
}

// An old row is given as its key alone with NULLs in place of the rest, so only what is of the key is known of it.
Values RowReader::values_of(const Described& described, pgoutput::Row row, bool is_key_only) {
  Values out(described.table->columns.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (described.places[i] == kNowhere || (is_key_only && !described.fields[i].is_key)) continue;
    Value& value = out[described.places[i]];
    if (row[i].kind == FieldKind::kNull) value.kind = Value::Kind::kNull;
    if (row[i].kind == FieldKind::kText) value = {Value::Kind::kText, row[i].bytes};
  }
  return out;
}

Result<std::optional<Change>> RowReader::read(const pgoutput::Message& message) const {
  const auto* const insert = std::get_if<pgoutput::Insert>(&message);
  const auto* const update = std::get_if<pgoutput::Update>(&message);
  const auto* const deletion = std::get_if<pgoutput::Delete>(&message);
  if (insert == nullptr && update == nullptr && deletion == nullptr) return std::nullopt;
  const Oid oid = insert != nullptr ? insert->relation : update != nullptr ? update->relation : deletion->relation;
  const auto found = tables_.find(oid);
  if (found == tables_.end() || !found->second.is_described) return fail("a row of a table that was not described");
  const Described& described = found->second;
  if (!described.table) return std::nullopt;
  const pgoutput::Row row = insert != nullptr ? insert->row : update != nullptr ? update->row : pgoutput::Row{};
  const pgoutput::Row before = update != nullptr     ? update->before
                               : deletion != nullptr ? deletion->before
                                                     : pgoutput::Row{};
  if (std::max(row.size(), before.size()) > described.fields.size())
    return fail("a row with more fields than its table has columns");

  Change out{.action = insert != nullptr   ? Action::kInsert
                       : update != nullptr ? Action::kUpdate
                                           : Action::kDelete,
             .table = described.table,
             .written_as = described.names};
  if (out.action != Action::kDelete) out.row = values_of(described, row, false);
  if (out.action == Action::kInsert) return out;
  // Without an old row: nothing of the key has changed.
  out.before = values_of(described, before.empty() ? row : before, true);
  if (update == nullptr || before.empty()) return out;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (row[i].kind != FieldKind::kUnchanged || described.places[i] == kNowhere) continue;
    const Value& old = out.before[described.places[i]];
    if (is_text(old)) out.row[described.places[i]] = {Value::Kind::kFromBefore, old.text};
  }
  return out;
}

}  // namespace rt::changes
