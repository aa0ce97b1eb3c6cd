#include "domain/changes/json_normal.h"

#include <deque>
#include <vector>

#include "base/utf8.h"
#include "domain/changes/json_object.h"
#include "domain/changes/json_string.h"
#include "domain/changes/number_text.h"
#include "protocol/json/value.h"

namespace rt::changes {
namespace {

bool is_quoted_with_escapes(std::string_view quoted) { return quoted.find('\\') != std::string_view::npos; }

// One pass over a text that the walker has accepted, writing as it goes. Only objects whose members are out of order
// are written a second time.
class Normaliser {
 public:
  Normaliser(std::string& out, std::string_view walked_text)
      : out_(out), text_(walked_text), growth_left_(kNumberGrowthMax + kNumberGrowthFactor * walked_text.size()) {}

  // False: jsonb has no such value. What was appended by then is of no use.
  bool run();

 private:
  struct Container {
    bool is_object = false;
    std::size_t members = 0;  // where its own begin in members_
  };

  char next() {
    at_ = json::skip_white_space(text_, at_);
    return text_[at_];
  }
  bool begin_value();
  bool end_value();
  void open();
  void close();
  bool scalar();
  bool string(std::string_view quoted);
  bool number(std::string_view spelled);
  bool member_key();

  std::string& out_;
  const std::string_view text_;
  std::size_t at_ = 0;
  std::size_t growth_left_;
  std::vector<Container> open_;
  std::vector<Member> members_;   // of all objects that are open
  std::deque<std::string> keys_;  // those that had escapes, which members point to
  MemberOrder order_;
};

bool Normaliser::run() {
  const std::size_t begin = out_.size();
  do {
    if (!begin_value()) return false;
    while (!open_.empty() && (next() == ']' || next() == '}')) close();
    if (open_.empty()) {
      order_.apply(out_, begin);
      return true;
    }
  } while (end_value());
  return false;
}

// Up to where an element is, or nothing follows in its container.
bool Normaliser::begin_value() {
  for (;;) {
    const char first = next();
    if (first != '{' && first != '[') return scalar();
    open();
    if (next() == ']' || next() == '}') return true;
    if (open_.back().is_object && !member_key()) return false;
  }
}

// Past a comma, and the key behind it.
bool Normaliser::end_value() {
  ++at_;
  const bool is_in_object = open_.back().is_object;
  if (is_in_object) members_.back().end = out_.size();
  out_ += ", ";
  return !is_in_object || member_key();
}

void Normaliser::open() {
  const char bracket = text_[at_++];
  out_ += bracket;
  open_.push_back({bracket == '{', members_.size()});
}

void Normaliser::close() {
  const Container& done = open_.back();
  if (members_.size() > done.members) {
    members_.back().end = out_.size();
    order_.add(out_, std::span(members_).subspan(done.members));
    members_.resize(done.members);
  }
  out_ += text_[at_++];
  open_.pop_back();
}

bool Normaliser::scalar() {
  const std::size_t begin = at_;
  if (text_[begin] == '"') {
    at_ = json::end_of_string(text_, begin);
    return string(text_.substr(begin, at_ - begin));
  }
  while (at_ < text_.size() && text_[at_] > ' ' && text_[at_] != ',' && text_[at_] != ']' && text_[at_] != '}') ++at_;
  const std::string_view spelled = text_.substr(begin, at_ - begin);
  if (spelled != "true" && spelled != "false" && spelled != "null") return number(spelled);
  out_.append(spelled);
  return true;
}

bool Normaliser::string(std::string_view quoted) {
  if (!is_quoted_with_escapes(quoted)) {
    out_.append(quoted);
    return true;
  }
  const std::string text = json::unescape(quoted);
  if (text.find('\0') != std::string::npos) return false;
  append_json_string(out_, text);
  return true;
}

bool Normaliser::number(std::string_view spelled) {
  const std::size_t before = out_.size();
  if (!append_number(out_, spelled)) return false;
  const std::size_t size = out_.size() - before;
  if (size <= spelled.size()) return true;
  const std::size_t growth = size - spelled.size();
  if (growth > growth_left_) return false;
  growth_left_ -= growth;
  return true;
}

// `"key":` of a member; its value is next.
bool Normaliser::member_key() {
  next();
  const std::size_t begin = at_;
  at_ = json::end_of_string(text_, begin);
  const std::string_view quoted = text_.substr(begin, at_ - begin);
  Member& member = members_.emplace_back();
  member.begin = out_.size();
  if (is_quoted_with_escapes(quoted)) {
    member.key = keys_.emplace_back(json::unescape(quoted));
    if (member.key.find('\0') != std::string_view::npos) return false;
    append_json_string(out_, member.key);
  } else {
    member.key = quoted.substr(1, quoted.size() - 2);
    out_.append(quoted);
  }
  out_ += ": ";
  next();
  ++at_;
  return true;
}

// `walked_text` without white space around it.
bool append_normalised(std::string& out, std::string_view walked_text) {
  const std::size_t before = out.size();
  if (Normaliser(out, walked_text).run()) return true;
  out.resize(before);
  return false;
}

// --- What a column of json may hold although no text in UTF-8 can: `\ud800` alone.

int hex(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

// The code unit of an escape at text[at]; -1: there is none.
int escaped_unit(std::string_view text, std::size_t at) {
  if (text.size() < at + 6 || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i) {
    const int digit = hex(text[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

bool is_high_surrogate(int unit) { return unit >= 0xd800 && unit <= 0xdbff; }
bool is_low_surrogate(int unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

// With `\ufffd` for each half of a pair, and U+FFFD for bytes that are no UTF-8.
std::string repaired_json(std::string_view text) {
  std::string out = repaired_utf8(text);
  for (std::size_t at = out.find('\\'); at < out.size(); at = out.find('\\', at)) {
    const int unit = escaped_unit(out, at);
    if (is_high_surrogate(unit) && is_low_surrogate(escaped_unit(out, at + 6))) {
      at += 12;
      continue;
    }
    if (is_high_surrogate(unit) || is_low_surrogate(unit)) out.replace(at, 6, "\\ufffd");
    at += unit < 0 ? 2 : 6;
  }
  return out;
}

}  // namespace

std::optional<std::string> normalised_json(std::string_view text) {
  const auto document = json::walk_document(text);
  if (!document) return std::nullopt;
  std::string out;
  out.reserve(document->text.size());
  if (!append_normalised(out, document->text)) return std::nullopt;
  return out;
}

void append_json_text(std::string& out, std::string_view text, int depth_max) {
  if (const auto document = json::walk_document(text, depth_max)) {
    if (!append_normalised(out, document->text)) out.append(document->text);
    return;
  }
  const std::string repaired = repaired_json(text);
  if (const auto document = json::walk_document(repaired, depth_max)) {
    if (!append_normalised(out, document->text)) out.append(document->text);
    return;
  }
  append_json_string(out, text);
}

void append_jsonb_text(std::string& out, std::string_view text, int depth_max) {
  const auto walked = json::walk_value(text, depth_max);
  if (!walked || walked->length != text.size()) return append_json_text(out, text, depth_max);
  out.append(text);
}

}  // namespace rt::changes
