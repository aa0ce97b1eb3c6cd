// The JSON walker on any bytes, and the readers that trust it on what it accepts.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace {

using rt::json::Type;
using rt::json::Value;

constexpr rt::HashKey kKey{1, 2};
// Every prefix of a text is walked, which costs the square of its length.
constexpr std::size_t kPrefixedBytesMax = 512;

bool lies_within(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

// `quoted` is a string as the text spells it.
void check_string(std::string_view quoted) {
  const std::string text = rt::json::unescape(quoted);
  RT_CHECK(rt::is_valid_utf8(text));
  RT_CHECK(rt::json::unescape(rt::json::quoted(text)) == text);
}

void check_scalar(Value value) {
  if (value.is_string()) check_string(value.text());
  if (value.type() != Type::kNumber) return;
  RT_CHECK(value.number());
  if (const auto integer = value.integer()) RT_CHECK(*integer == 0 || value.number() == static_cast<double>(*integer));
}

// The same value put together again from its pieces, without white space.
std::string rebuilt(Value value) {
  if (!value.is_array() && !value.is_object()) {
    check_scalar(value);
    return std::string(value.text());
  }
  std::string text(1, value.is_object() ? '{' : '[');
  rt::json::Elements elements(value);
  while (const auto element = elements.next()) {
    RT_CHECK(lies_within(element->text(), value.text()));
    if (text.size() > 1) text += ',';
    if (value.is_object()) {
      RT_CHECK(lies_within(elements.key(), value.text()));
      RT_CHECK(value.member(rt::json::unescape(elements.key())));
      check_string(elements.key());
      text.append(elements.key()).append(":");
    }
    text += rebuilt(*element);
  }
  return text += value.is_object() ? '}' : ']';
}

void check_same(const rt::json::Document& document, std::string_view other_text) {
  const auto other = rt::json::walk_document(other_text);
  RT_CHECK(other);
  RT_CHECK(other->text == other_text);
  RT_CHECK(other->type == document.type);
  RT_CHECK(other->term_size == document.term_size);
  RT_CHECK(rt::json::hash_of(kKey, Value(other->text)) == rt::json::hash_of(kKey, Value(document.text)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document = rt::json::walk_document(text);
  if (!document) return 0;

  RT_CHECK(rt::is_valid_utf8(document->text));
  RT_CHECK(Value(document->text).type() == document->type);
  check_same(*document, document->text);
  check_same(*document, rebuilt(Value(document->text)));

  const bool is_container = document->type == Type::kArray || document->type == Type::kObject;
  if (is_container && document->text.size() <= kPrefixedBytesMax) {
    for (std::size_t length = 0; length < document->text.size(); ++length) {
      RT_CHECK(!rt::json::walk_value(document->text.substr(0, length)));
    }
  }
  return 0;
}
