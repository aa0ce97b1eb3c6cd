// What one statement gave back: rows of texts, and its command tag.
//
// Two allocations, however many fields: the bytes of all fields behind each other, and where each ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rt::postgres {

class Rows {
 public:
  std::size_t size() const { return columns_ == 0 ? 0 : ends_.size() / columns_ - 1; }
  bool empty() const { return size() == 0; }
  std::size_t columns() const { return columns_; }
  std::string_view column_name(std::size_t column) const { return bytes_at(column); }
  // nullopt: NULL. `row` < size(), `column` < columns(). Valid as long as this.
  std::optional<std::string_view> text(std::size_t row, std::size_t column) const;
  // "SELECT 3", "INSERT 0 1", "SET".
  std::string_view command_tag() const { return command_tag_; }
  std::size_t bytes() const { return bytes_.size(); }

  // --- Building it. First the names of all columns, then the fields of one row after the other.
  void add_column(std::string_view name);
  void add_field(std::optional<std::string_view> field);
  void set_command_tag(std::string_view tag) { command_tag_ = tag; }

 private:
  static constexpr std::uint32_t kNull = std::uint32_t{1} << 31;

  std::string_view bytes_at(std::size_t index) const;

  std::size_t columns_ = 0;
  std::string bytes_;
  std::vector<std::uint32_t> ends_;  // of names, then fields; kNull is set in that of a NULL
  std::string command_tag_;
};

}  // namespace rt::postgres
