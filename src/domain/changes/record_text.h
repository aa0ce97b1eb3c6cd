// Reading a composite value as Postgres writes it: `(1,"a ""b""",)`, where nothing at all is NULL.
//
// https://www.postgresql.org/docs/15/rowtypes.html#ROWTYPES-IO-SYNTAX
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::changes {

class RecordReader {
 public:
  // `text` outlives it.
  explicit RecordReader(std::string_view text) : text_(text) {}

  // The fields, one after the other. kBroken: there are no more, or it is no composite value.
  enum class Step : std::uint8_t { kField, kNull, kBroken };
  Step next();
  // Of kField; until the next step.
  std::string_view field() const { return field_; }
  // Behind as many fields: these were all, and the value ends here.
  bool is_complete(std::size_t fields) const;

 private:
  bool read_plain();
  bool read_mixed();

  const std::string_view text_;
  std::size_t at_ = 0;
  std::string_view field_;
  std::string unescaped_;
};

}  // namespace rt::changes
