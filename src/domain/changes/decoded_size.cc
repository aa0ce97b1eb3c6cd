#include "domain/changes/decoded_size.h"

#include <string>

#include "domain/changes/builtin_types.h"
#include "domain/changes/json_string.h"
#include "domain/changes/number_text.h"
#include "domain/changes/time_text.h"

namespace rt::changes {
namespace {

constexpr std::size_t kBrackets = 2;
constexpr std::size_t kSeparator = 2;  // ", "
constexpr std::size_t kNullSize = 4;
constexpr std::size_t kEscapedSizeMax = 6;  // \u001f
constexpr std::size_t kFloatSizeMax = 400;  // -4.9406564584124654e-324 has 343
// All else that belongs to a value, names of members among it.
constexpr std::size_t kAroundValueMax = kFloatSizeMax + 100;
constexpr std::size_t kAroundChangeMax = 500;

// An array or object, while its parts are added.
class Container {
 public:
  void add(std::size_t size) {
    size_ += (is_empty_ ? 0 : kSeparator) + size;
    is_empty_ = false;
  }
  void add_member(std::string_view plain_name, std::size_t value_size) { add(plain_name.size() + 4 + value_size); }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_ = kBrackets;
  bool is_empty_ = true;
};

// The oid, which is shown with a sign.
std::size_t oid_size(Oid oid) { return std::to_string(static_cast<std::int32_t>(oid)).size(); }

// A name that SQL has to quote counts as the string that it looks like.
std::size_t type_size(std::string_view type) {
  return type.starts_with('"') && !type.ends_with(']') ? type.size() : json_string_size(type);
}

// Only floats are shorter as a text than they are in jsonb.
std::size_t float_size(std::string_view text) {
  std::string number;
  return append_number(number, text) && number.size() <= kFloatSizeMax ? number.size() : text.size();
}

std::size_t value_size(Oid type, std::string_view text) {
  if (is_number(type) && is_no_finite_number(text)) return kNullSize;
  if (type == kFloat4Oid || type == kFloat8Oid) return float_size(text);
  if (is_number(type) || type == kOidOid) return text.size();
  if (type == kBoolOid) return text == "t" ? std::string_view("true").size() : std::string_view("false").size();
  if (type == kByteaOid) return json_string_size(text.substr(text.starts_with("\\x") ? 2 : 0));
  return json_string_size(text);
}

Container described(const TableColumn& column) {
  Container out;
  out.add_member("name", json_string_size(column.name));
  out.add_member("type", type_size(column.type_text));
  out.add_member("typeoid", oid_size(column.type));
  return out;
}

// What stands in the log of this row. A value that was not stored again does not.
bool is_logged(const Value& value) { return value.kind == Value::Kind::kNull || value.kind == Value::Kind::kText; }

std::size_t image_size(const Table& table, const Values& values) {
  Container out;
  for (std::size_t i = 0; i < values.size() && i < table.columns.size(); ++i) {
    if (!is_logged(values[i])) continue;
    Container column = described(table.columns[i]);
    const bool is_null = values[i].kind == Value::Kind::kNull;
    column.add_member("value", is_null ? kNullSize : value_size(table.columns[i].type, values[i].text));
    out.add(column.size());
  }
  return out.size();
}

std::size_t primary_key_size(const Table& table) {
  Container out;
  for (const std::size_t place : table.primary_key) out.add(described(table.columns[place]).size());
  return out.size();
}

std::size_t image_bound(const Table& table, const Values& values) {
  std::size_t out = 0;
  for (std::size_t i = 0; i < values.size() && i < table.columns.size(); ++i) {
    const TableColumn& column = table.columns[i];
    out += kAroundValueMax + kEscapedSizeMax * (column.name.size() + column.type_text.size() + values[i].text.size());
  }
  return out;
}

}  // namespace

std::size_t decoded_bytes(const Change& change) {
  const Table& table = *change.table;
  Container out;
  out.add_member("action", json_string_size("I"));
  out.add_member("schema", json_string_size(change.schema_name()));
  out.add_member("table", json_string_size(change.table_name()));
  out.add_member("timestamp", commit_text_size(change.committed_micros) + std::string_view(R"("")").size());
  out.add_member("pk", primary_key_size(table));
  if (change.action != Action::kDelete) out.add_member("columns", image_size(table, change.row));
  if (change.action != Action::kInsert) out.add_member("identity", image_size(table, change.before));
  return out.size();
}

std::size_t decoded_bytes_bound(const Change& change) {
  const Table& table = *change.table;
  std::size_t out = kAroundChangeMax + kEscapedSizeMax * (change.schema_name().size() + change.table_name().size());
  for (const std::size_t place : table.primary_key)
    out +=
        kAroundValueMax + kEscapedSizeMax * (table.columns[place].name.size() + table.columns[place].type_text.size());
  return out + image_bound(table, change.row) + image_bound(table, change.before);
}

}  // namespace rt::changes
