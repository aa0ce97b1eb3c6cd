#include "domain/changes/array_items.h"

#include <algorithm>

namespace rt::changes {
namespace {

// What isspace() of the C locale says, and so Postgres.
constexpr std::string_view kSpace = " \t\n\v\f\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

// NULL of any case, if it was written without quotes and escapes.
bool is_null(std::string_view word) {
  return word.size() == 4 &&
         std::ranges::equal(word, std::string_view("null"), [](char a, char b) { return (a | 0x20) == b; });
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::optional<std::vector<std::optional<std::string>>> items() {
    if (!text_.starts_with('{')) return std::nullopt;
    int depth = 0;
    bool awaits_item = false;  // behind a comma
    do {
      skip_space();
      if (take('{')) {
        ++depth;
        awaits_item = false;
      } else if (take('}')) {
        if (awaits_item) return std::nullopt;
        --depth;
      } else if (take(',')) {
        if (awaits_item) return std::nullopt;
        awaits_item = true;
      } else if (!item()) {
        return std::nullopt;
      } else {
        awaits_item = false;
      }
    } while (depth > 0);
    if (at_ != text_.size()) return std::nullopt;
    return std::move(items_);
  }

 private:
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  // Up to the comma or brace behind it.
  bool item() {
    std::string out;
    std::size_t kept = 0;  // so much of it is no space that would be dropped
    bool is_plain = true;
    bool is_quoted = false;
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '"') {
        is_quoted = !is_quoted;
        is_plain = false;
        kept = out.size();
        continue;
      }
      if (!is_quoted && (c == ',' || c == '}' || c == '{')) break;
      const bool is_space = !is_quoted && kSpace.find(c) != std::string_view::npos;
      if (c == '\\') {
        if (++at_ == text_.size()) return false;
        c = text_[at_];
        is_plain = false;
      }
      out += c;
      if (!is_space) kept = out.size();
    }
    if (is_quoted || at_ == text_.size()) return false;
    out.resize(kept);
    if (is_plain && is_null(out)) {
      items_.emplace_back(std::nullopt);
    } else {
      items_.emplace_back(std::move(out));
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<std::optional<std::string>> items_;
};

}  // namespace

std::optional<std::vector<std::optional<std::string>>> array_items(std::string_view text) {
  text = trimmed(text);
  // `[0:2]={1,2,3}`: where the indexes begin.
  if (text.starts_with('[')) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    text = text.substr(equals + 1);
  }
  return Reader(text).items();
}

}  // namespace rt::changes
