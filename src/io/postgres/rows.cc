#include "io/postgres/rows.h"

#include "base/check.h"

namespace rt::postgres {

std::optional<std::string_view> Rows::text(std::size_t row, std::size_t column) const {
  RT_CHECK(column < columns_);
  const std::size_t index = (row + 1) * columns_ + column;
  RT_CHECK(index < ends_.size());
  if ((ends_[index] & kNull) != 0) return std::nullopt;
  return bytes_at(index);
}

std::string_view Rows::bytes_at(std::size_t index) const {
  const std::uint32_t begin = index == 0 ? 0 : ends_[index - 1] & ~kNull;
  return std::string_view(bytes_).substr(begin, (ends_[index] & ~kNull) - begin);
}

void Rows::add_column(std::string_view name) {
  ++columns_;
  add_field(name);
}

void Rows::add_field(std::optional<std::string_view> field) {
  if (field) bytes_ += *field;
  RT_CHECK(bytes_.size() < kNull);
  ends_.push_back(static_cast<std::uint32_t>(bytes_.size()) | (field ? 0 : kNull));
}

}  // namespace rt::postgres
