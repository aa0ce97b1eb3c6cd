#include "domain/changes/runtime_notation.h"

#include <iterator>
#include <map>
#include <utility>

namespace rt::changes {
namespace {

using json::Type;

constexpr std::size_t kItemsMax = 50;  // of a map or a list; the runtime leaves out more of them, too
// Finding where a value ends reads all of it, and so does each level around it.
constexpr int kDepthMax = 8;
constexpr std::string_view kLeftOut = "...";

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// The letter behind the backslash, of characters that have one.
char short_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
      return c;
    case '\0':
      return '0';
    case '\a':
      return 'a';
    case '\b':
      return 'b';
    case '\x7f':
      return 'd';
    case '\x1b':
      return 'e';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    case '\v':
      return 'v';
    default:
      return 0;
  }
}

// Characters beyond ASCII that cannot be seen: U+0080 to U+009F, U+FFFE and U+FFFF.
bool is_unprintable(std::string_view character) {
  if (character.size() == 2) return character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0;
  return character == "\xef\xbf\xbe" || character == "\xef\xbf\xbf";
}

void append_hex_escape(std::string& out, std::string_view character) {
  constexpr char kHex[] = "0123456789ABCDEF";
  if (character.size() == 3) {
    out.append(character == "\xef\xbf\xbe" ? "\\x{FFFE}" : "\\x{FFFF}");
    return;
  }
  const auto code = static_cast<unsigned char>(character.back());  // of two bytes the second is the code
  out.append("\\x") += kHex[code >> 4];
  out += kHex[code & 15];
}

class Notation {
 public:
  explicit Notation(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  void append(json::Value value, int depth);
  std::string take() { return shortened(std::move(out_), bytes_max_); }

 private:
  void append_text(std::string_view text);
  void append_list(json::Value list, int depth);
  void append_map(json::Value map, int depth);
  bool is_full() const { return out_.size() > bytes_max_; }

  const std::size_t bytes_max_;
  std::string out_;
};

void Notation::append(json::Value value, int depth) {
  switch (value.type()) {
    case Type::kNull:
      out_ += "nil";
      return;
    case Type::kString:
      return append_text(*value.string());
    case Type::kArray:
    case Type::kObject:
      if (depth == kDepthMax) {
        out_ += kLeftOut;
      } else if (value.is_array()) {
        append_list(value, depth);
      } else {
        append_map(value, depth);
      }
      return;
    default:
      out_ += value.text().substr(0, bytes_max_ + 1);
  }
}

void Notation::append_text(std::string_view text) {
  // With a character in front of whose end it is cut anyway.
  append_inspected(out_, text.substr(0, bytes_max_ + 4));
}

void Notation::append_list(json::Value list, int depth) {
  out_ += '[';
  std::size_t items = 0;
  for (json::Elements elements(list); !is_full();) {
    const auto element = elements.next();
    if (!element) break;
    if (items > 0) out_ += ", ";
    if (items++ == kItemsMax) {
      out_ += kLeftOut;
      break;
    }
    append(*element, depth + 1);
  }
  out_ += ']';
}

// In the order of keys; of several that are equal the last counts.
void Notation::append_map(json::Value map, int depth) {
  std::map<std::string, json::Value> first;  // the first of them, one more than are shown
  for (json::Elements members(map); const auto value = members.next();) {
    std::string key = json::unescape(members.key());
    if (first.size() > kItemsMax && key > first.rbegin()->first) continue;
    first.insert_or_assign(std::move(key), *value);
    if (first.size() > kItemsMax + 1) first.erase(std::prev(first.end()));
  }
  out_ += "%{";
  std::size_t items = 0;
  for (const auto& [key, value] : first) {
    if (is_full()) break;
    if (items > 0) out_ += ", ";
    if (items++ == kItemsMax) {
      out_ += kLeftOut;
      break;
    }
    append_text(key);
    out_ += " => ";
    append(value, depth + 1);
  }
  out_ += '}';
}

}  // namespace

void append_inspected(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    while (end < text.size() && is_continuation(text[end])) ++end;
    const std::string_view character = text.substr(i, end - i);
    i = end;
    if (const char letter = short_escape(character[0])) {
      (out += '\\') += letter;
    } else if (static_cast<unsigned char>(character[0]) < 0x20 || is_unprintable(character)) {
      append_hex_escape(out, character);
    } else {
      // It would begin an expression within the string.
      if (character == "#" && text.substr(end).starts_with('{')) out += '\\';
      out += character;
    }
  }
  out += '"';
}

std::string inspected(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ", ";
    append_inspected(out, text);
  }
  return out + "]";
}

std::string inspected(json::Value value, std::size_t bytes_max) {
  Notation notation(bytes_max);
  notation.append(value, 0);
  return notation.take();
}

std::string shortened(std::string text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  while (bytes_max > 0 && is_continuation(text[bytes_max])) --bytes_max;
  text.resize(bytes_max);
  return text.append(kLeftOut);
}

}  // namespace rt::changes
