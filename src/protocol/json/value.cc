#include "protocol/json/value.h"

#include <charconv>
#include <cstdlib>

#include "base/check.h"
#include "base/utf8.h"

namespace rt::json {
namespace {

int hex(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

std::uint32_t code_unit(std::string_view text, std::size_t at) {
  std::uint32_t unit = 0;
  for (std::size_t i = at; i < at + 4; ++i) unit = unit << 4 | static_cast<std::uint32_t>(hex(text[i]));
  return unit;
}

}  // namespace

std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

namespace {

// The index behind the value at text[at], in a text that the walker has accepted.
std::size_t end_of_value(std::string_view text, std::size_t at) {
  const char first = text[at];
  if (first == '"') return end_of_string(text, at);
  if (first != '{' && first != '[') {
    while (at < text.size() && text[at] != ',' && text[at] != ']' && text[at] != '}' && text[at] > ' ') ++at;
    return at;
  }
  int depth = 0;
  for (;;) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    ++at;
    if ((c == '}' || c == ']') && --depth == 0) return at;
  }
}

}  // namespace

std::string unescape(std::string_view quoted_text) {
  const std::string_view text = quoted_text.substr(1, quoted_text.size() - 2);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t plain = text.find('\\', i);
    out.append(text.substr(i, plain - i));
    if (plain == std::string_view::npos) break;
    const char kind = text[plain + 1];
    i = plain + 2;
    switch (kind) {
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u': {
        std::uint32_t c = code_unit(text, i);
        i += 4;
        if (c >= 0xd800 && c <= 0xdbff) {
          c = 0x10000 + ((c - 0xd800) << 10) + (code_unit(text, i + 2) - 0xdc00);
          i += 6;
        }
        append_utf8(out, c);
        break;
      }
      default:
        out += kind;
    }
  }
  return out;
}

Type Value::type() const {
  switch (text_[0]) {
    case '{':
      return Type::kObject;
    case '[':
      return Type::kArray;
    case '"':
      return Type::kString;
    case 't':
      return Type::kTrue;
    case 'f':
      return Type::kFalse;
    case 'n':
      return Type::kNull;
    default:
      return Type::kNumber;
  }
}

std::optional<std::string> Value::string() const {
  if (!is_string()) return std::nullopt;
  return unescape(text_);
}

std::optional<Value> Value::member(std::string_view name) const {
  if (!is_object()) return std::nullopt;
  std::optional<Value> found;
  Elements members(*this);
  while (const auto value = members.next()) {
    const std::string_view key = members.key();
    const std::string_view inner = key.substr(1, key.size() - 2);
    if (inner == name || (inner.find('\\') != std::string_view::npos && unescape(key) == name)) found = value;
  }
  return found;
}

std::optional<std::int64_t> Value::integer() const {
  if (type() != Type::kNumber) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
  if (error != std::errc() || end != text_.data() + text_.size()) return std::nullopt;
  return value;
}

std::optional<double> Value::number() const {
  if (type() != Type::kNumber) return std::nullopt;
  return std::strtod(std::string(text_).c_str(), nullptr);
}

Elements::Elements(Value container) : rest_(container.text()), is_object_(container.is_object()) {
  RT_CHECK(container.is_object() || container.is_array());
  rest_.remove_prefix(1);
}

std::optional<Value> Elements::next() {
  std::size_t at = skip_white_space(rest_, 0);
  if (rest_[at] == ',') at = skip_white_space(rest_, at + 1);
  if (rest_[at] == '}' || rest_[at] == ']') return std::nullopt;
  if (is_object_) {
    const std::size_t end = end_of_string(rest_, at);
    key_ = rest_.substr(at, end - at);
    at = skip_white_space(rest_, skip_white_space(rest_, end) + 1);  // past the colon
  }
  const std::size_t end = end_of_value(rest_, at);
  const Value value(rest_.substr(at, end - at));
  rest_.remove_prefix(end);
  return value;
}

void append_quoted(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain_from, i - plain_from);
    plain_from = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(text, plain_from);
  out += '"';
}

std::size_t quoted_size(std::string_view text) {
  std::size_t size = text.size() + 2;
  for (const char c : text) {
    const bool has_short_form = c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t';
    if (has_short_form) {
      size += 1;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      size += 5;
    }
  }
  return size;
}

std::string quoted(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  append_quoted(out, text);
  return out;
}

namespace {

// Hashes a walked value in one pass over the text, however deep they are nested: a client chooses the depth.
class Hasher {
 public:
  Hasher(HashKey key, std::string_view text) : key_(key), text_(text) {}

  std::uint64_t value(std::string_view ignored_member = {});

 private:
  std::uint64_t array();
  std::uint64_t object(std::string_view ignored_member);
  std::uint64_t tagged(char tag, std::string_view bytes) const {
    return siphash({key_.k0 ^ static_cast<std::uint64_t>(tag), key_.k1}, bytes);
  }
  void skip_space() { at_ = skip_white_space(text_, at_); }
  // Past white space, a comma before a further element, or the end of the container, which gives false.
  bool goes_on() {
    skip_space();
    if (text_[at_] == ',') ++at_;
    skip_space();
    if (text_[at_] != ']' && text_[at_] != '}') return true;
    ++at_;
    return false;
  }

  const HashKey key_;
  const std::string_view text_;
  std::size_t at_ = 0;
};

std::uint64_t Hasher::value(std::string_view ignored_member) {
  if (text_[at_] == '[') return array();
  if (text_[at_] == '{') return object(ignored_member);
  const std::size_t begin = at_;
  at_ = end_of_value(text_, at_);
  const std::string_view scalar = text_.substr(begin, at_ - begin);
  return scalar[0] == '"' ? tagged('s', unescape(scalar)) : tagged('v', scalar);
}

std::uint64_t Hasher::array() {
  ++at_;
  std::uint64_t hash = tagged('a', {});
  while (goes_on()) {
    const std::uint64_t element = value();
    hash = siphash({hash, key_.k1}, {reinterpret_cast<const char*>(&element), sizeof element});
  }
  return hash;
}

std::uint64_t Hasher::object(std::string_view ignored_member) {
  ++at_;
  std::uint64_t hash = tagged('o', {});
  while (goes_on()) {
    const std::size_t end = end_of_string(text_, at_);
    const std::string name = unescape(text_.substr(at_, end - at_));
    at_ = end;
    skip_space();
    ++at_;  // the colon
    skip_space();
    const std::uint64_t member = value();
    // A sum, so that the order of members does not count.
    if (ignored_member.empty() || name != ignored_member) hash += siphash({member, key_.k0}, name);
  }
  return hash;
}

}  // namespace

std::uint64_t hash_of(HashKey key, Value value, std::string_view ignored_member) {
  return Hasher(key, value.text()).value(ignored_member);
}

}  // namespace rt::json
