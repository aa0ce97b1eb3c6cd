// Reading an array as Postgres writes it: `{1,NULL,"a b"}`, `{{1,2},{3,4}}`, `[0:1]={5,6}`.
//
// https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::changes {

class ArrayReader {
 public:
  static constexpr int kDimensionsMax = 6;  // Postgres: MAXDIM

  // `text` outlives it. `delimiter` is that of the type of the elements.
  ArrayReader(std::string_view text, char delimiter);

  // kEnd: there is nothing more, and all that was opened was closed. kBroken: it is no array.
  enum class Step : std::uint8_t { kOpen, kClose, kElement, kNull, kEnd, kBroken };
  Step next();
  // Of kElement; until the next step.
  std::string_view element() const { return element_; }
  // Something stands before this on the same level.
  bool has_predecessor() const { return has_predecessor_; }

 private:
  Step read_element();
  bool read_quoted();
  void read_plain();
  bool is_end_of_plain(char c) const { return c == delimiter_ || c == '{' || c == '}'; }

  const std::string_view text_;
  const char delimiter_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool has_begun_ = false;
  bool has_value_ = false;  // on this level, since it was opened or its last delimiter
  bool has_predecessor_ = false;
  std::string_view element_;
  std::string unescaped_;
};

}  // namespace rt::changes
