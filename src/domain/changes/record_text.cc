#include "domain/changes/record_text.h"

namespace rt::changes {

// Each field stands behind the `(` or a comma, and before a comma or the `)`.
RecordReader::Step RecordReader::next() {
  if (at_ >= text_.size() || text_[at_] != (at_ == 0 ? '(' : ',')) return Step::kBroken;
  ++at_;
  if (at_ == text_.size()) return Step::kBroken;
  if (text_[at_] == ',' || text_[at_] == ')') return Step::kNull;
  return read_plain() || read_mixed() ? Step::kField : Step::kBroken;
}

bool RecordReader::is_complete(std::size_t fields) const {
  return fields == 0 ? text_ == "()" : at_ + 1 == text_.size() && text_[at_] == ')';
}

// One that can be shown as it stands: without quotes, or with nothing to be taken away within them.
bool RecordReader::read_plain() {
  const bool is_quoted = text_[at_] == '"';
  const std::size_t begin = is_quoted ? at_ + 1 : at_;
  const std::size_t end = text_.find_first_of(is_quoted ? "\"\\" : ",)\"\\", begin);
  if (end == std::string_view::npos) return false;
  const std::size_t behind = is_quoted ? end + 1 : end;
  if (behind >= text_.size() || (text_[behind] != ',' && text_[behind] != ')')) return false;
  if (is_quoted && text_[end] != '"') return false;
  field_ = text_.substr(begin, end - begin);
  at_ = behind;
  return true;
}

bool RecordReader::read_mixed() {
  unescaped_.clear();
  bool is_in_quotes = false;
  for (std::size_t at = at_;;) {
    const std::size_t end = text_.find_first_of(is_in_quotes ? "\"\\" : ",)\"\\", at);
    if (end == std::string_view::npos) return false;
    unescaped_.append(text_, at, end - at);
    if (text_[end] == '\\' || (is_in_quotes && text_.substr(end, 2) == "\"\"")) {
      if (end + 1 == text_.size()) return false;
      unescaped_ += text_[end + 1];
      at = end + 2;
    } else if (text_[end] == '"') {
      is_in_quotes = !is_in_quotes;
      at = end + 1;
    } else {
      at_ = end;
      field_ = unescaped_;
      return true;
    }
  }
}

}  // namespace rt::changes
