// Reading parts of a JSON text that the walker has accepted, as pieces of that same text.
//
// Nothing is parsed into a tree: what has to be shown again (refs, change subscriptions, claims) is kept as its own
// source text, so numbers and unknown members survive untouched.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/siphash.h"
#include "protocol/json/walker.h"

namespace rt::json {

// A value inside a walked text; the text must outlive it.
class Value {
 public:
  // `walked_text` is exactly one valid JSON value, without white space around it.
  explicit Value(std::string_view walked_text) : text_(walked_text) {}

  std::string_view text() const { return text_; }
  Type type() const;
  bool is_null() const { return type() == Type::kNull; }
  bool is_object() const { return type() == Type::kObject; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_string() const { return type() == Type::kString; }

  // Unescaped; nullopt when it is not a string.
  std::optional<std::string> string() const;
  // Of an object: the last member of that name, as most parsers decide; nullopt when there is none or this is no
  // object.
  std::optional<Value> member(std::string_view name) const;
  // A number without fraction and exponent that fits.
  std::optional<std::int64_t> integer() const;
  std::optional<double> number() const;

 private:
  std::string_view text_;
};

// Steps through the elements of an array or the members of an object.
class Elements {
 public:
  explicit Elements(Value container);
  // nullopt at the end. For an object, key() is the source text of the member's name with its quotes.
  std::optional<Value> next();
  std::string_view key() const { return key_; }

 private:
  std::string_view rest_;
  bool is_object_;
  std::string_view key_;
};

// Appends the string in quotes, escaped as RFC 8259 demands and no more. `text` must be valid UTF-8.
void append_quoted(std::string& out, std::string_view text);
std::string quoted(std::string_view text);
// Of quoted(), without making it.
std::size_t quoted_size(std::string_view text);

// Equal for values that are equal as JSON: member order, white space and the spelling of strings do not count, the
// spelling of numbers does (1 and 1.0 differ). Members named `ignored_member` of the outermost object are left out.
std::uint64_t hash_of(HashKey key, Value value, std::string_view ignored_member = {});

// Scans past one string, `at` being its opening quote, in a walked text; returns the index behind the closing quote.
std::size_t end_of_string(std::string_view text, std::size_t at);
// The contents of a walked string with its quotes, unescaped.
std::string unescape(std::string_view quoted_text);

}  // namespace rt::json
