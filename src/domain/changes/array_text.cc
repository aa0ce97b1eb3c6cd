#include "domain/changes/array_text.h"

namespace rt::changes {
namespace {

// `[2:3][0:1]=`: where the indexes begin, which JSON does not have.
std::size_t end_of_bounds(std::string_view text) {
  if (!text.starts_with('[')) return 0;
  const std::size_t end = text.find_first_not_of("[]:+-0123456789");
  return end != std::string_view::npos && text[end] == '=' ? end + 1 : 0;
}

}  // namespace

ArrayReader::ArrayReader(std::string_view text, char delimiter)
    : text_(text), delimiter_(delimiter), at_(end_of_bounds(text)) {}

ArrayReader::Step ArrayReader::next() {
  if (depth_ == 0 && has_begun_) return at_ == text_.size() ? Step::kEnd : Step::kBroken;
  if (at_ == text_.size()) return Step::kBroken;

  has_predecessor_ = false;
  if (has_value_ && text_[at_] == delimiter_) {
    ++at_;
    has_value_ = false;
    has_predecessor_ = true;
    if (at_ == text_.size()) return Step::kBroken;
  }
  switch (text_[at_]) {
    case '{':
      if (has_value_ || depth_ == kDimensionsMax) return Step::kBroken;
      ++at_;
      ++depth_;
      has_begun_ = true;
      return Step::kOpen;
    case '}':
      if (depth_ == 0 || has_predecessor_) return Step::kBroken;
      ++at_;
      --depth_;
      has_value_ = true;
      return Step::kClose;
    default:
      return depth_ == 0 || has_value_ ? Step::kBroken : read_element();
  }
}

ArrayReader::Step ArrayReader::read_element() {
  has_value_ = true;
  if (text_[at_] == '"') return read_quoted() ? Step::kElement : Step::kBroken;
  read_plain();
  if (element_.empty()) return Step::kBroken;
  return element_ == "NULL" ? Step::kNull : Step::kElement;
}

bool ArrayReader::read_quoted() {
  const std::size_t begin = at_ + 1;
  std::size_t end = text_.find_first_of("\"\\", begin);
  if (end == std::string_view::npos) return false;
  if (text_[end] == '"') {
    element_ = text_.substr(begin, end - begin);
    at_ = end + 1;
    return true;
  }
  unescaped_.clear();
  for (std::size_t from = begin;;) {
    unescaped_.append(text_, from, end - from);
    if (text_[end] == '"') break;
    if (end + 1 == text_.size()) return false;
    from = end + 1;  // what is escaped stands for itself
    end = text_.find_first_of("\"\\", from + 1);
    if (end == std::string_view::npos) return false;
  }
  element_ = unescaped_;
  at_ = end + 1;
  return true;
}

void ArrayReader::read_plain() {
  const std::size_t begin = at_;
  while (at_ < text_.size() && !is_end_of_plain(text_[at_])) ++at_;
  element_ = text_.substr(begin, at_ - begin);
}

}  // namespace rt::changes
