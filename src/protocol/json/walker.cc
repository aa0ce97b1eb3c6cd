#include "protocol/json/walker.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/utf8.h"

namespace rt::json {
namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101u;
constexpr std::uint64_t kHighs = 0x8080808080808080u;

// True when a byte of the word ends a run of plain characters: control, quote, backslash or beyond ASCII.
bool has_special(std::uint64_t word) {
  const auto has_byte = [](std::uint64_t w, unsigned char byte) {
    const std::uint64_t x = w ^ (kOnes * byte);
    return (x - kOnes) & ~x & kHighs;
  };
  const std::uint64_t controls = (word - kOnes * 0x20) & ~word & kHighs;
  return ((word & kHighs) | controls | has_byte(word, '"') | has_byte(word, '\\')) != 0;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Bytes of the magnitude of a decimal integer that does not fit 64 bits. Exact up to 400 digits; beyond, by logarithm,
// where being one byte off matters to nobody.
std::uint64_t magnitude_bytes(std::string_view digits) {
  if (digits.size() > 400)
    return static_cast<std::uint64_t>(std::ceil(static_cast<double>(digits.size()) * std::log2(10.0) / 8));
  std::array<std::uint8_t, 170> bytes{};
  std::size_t used = 1;
  for (const char c : digits) {
    unsigned carry = static_cast<unsigned>(c - '0');
    for (std::size_t i = 0; i < used; ++i) {
      carry += bytes[i] * 10u;
      bytes[i] = static_cast<std::uint8_t>(carry);
      carry >>= 8;
    }
    if (carry != 0) bytes[used++] = static_cast<std::uint8_t>(carry);
  }
  return used;
}

std::uint64_t integer_size(std::string_view digits, bool negative) {
  while (digits.size() > 1 && digits[0] == '0') digits.remove_prefix(1);
  if (digits.size() > 19) return 3 + magnitude_bytes(digits);
  std::uint64_t value = 0;
  for (const char c : digits) value = value * 10 + static_cast<std::uint64_t>(c - '0');
  if (value <= 255 && (!negative || value == 0)) return 2;
  if (value <= (negative ? 0x80000000u : 0x7fffffffu)) return 5;
  std::uint64_t bytes = 0;
  for (; value != 0; value >>= 8) ++bytes;
  return 3 + bytes;
}

class Walker {
 public:
  Walker(std::string_view text, int depth_max)
      : at_(text.data()), begin_(text.data()), end_(text.data() + text.size()), depth_max_(depth_max) {}

  std::optional<Walked> run();

 private:
  struct Container {
    std::uint64_t sum;    // term size of the members so far
    std::uint32_t count;  // elements of an array, saturating
    bool is_object;
    bool all_bytes;  // an array of integers 0..255 is stored as a string
  };

  bool scalar_or_open();
  bool string();
  bool number();
  bool literal(std::string_view word, Type type, std::uint64_t size);
  bool close();
  bool member_key();
  void account(std::uint64_t size);
  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  const char* at_;
  const char* const begin_;
  const char* const end_;
  // Of the value just walked:
  Type type_ = Type::kNull;
  std::uint64_t size_ = 0;
  bool opened_ = false;  // it is a container whose members are to come
  const int depth_max_;
  int depth_ = 0;
  Container stack_[kDepthMax];
};

bool Walker::literal(std::string_view word, Type type, std::uint64_t size) {
  if (static_cast<std::size_t>(end_ - at_) < word.size() || std::memcmp(at_, word.data(), word.size()) != 0)
    return false;
  at_ += word.size();
  type_ = type;
  size_ = size;
  return true;
}

bool Walker::number() {
  const bool negative = take('-');
  const char* digits = at_;
  if (at_ == end_ || !is_digit(*at_)) return false;
  if (*at_ == '0') {
    ++at_;
  } else {
    while (at_ < end_ && is_digit(*at_)) ++at_;
  }
  const std::string_view integer(digits, static_cast<std::size_t>(at_ - digits));
  bool is_integer = true;
  if (take('.')) {
    is_integer = false;
    if (at_ == end_ || !is_digit(*at_)) return false;
    while (at_ < end_ && is_digit(*at_)) ++at_;
  }
  if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
    is_integer = false;
    ++at_;
    if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    if (at_ == end_ || !is_digit(*at_)) return false;
    while (at_ < end_ && is_digit(*at_)) ++at_;
  }
  type_ = Type::kNumber;
  size_ = is_integer ? integer_size(integer, negative) : 9;
  return true;
}

// Behind the opening quote. Leaves the number of UTF-8 bytes of the unescaped string in size_.
bool Walker::string() {
  std::uint64_t escaped_away = 0;  // bytes of the source that the unescaped string does not have
  const char* begin = at_;
  for (;;) {
    std::uint64_t word;
    while (end_ - at_ >= 8 && (std::memcpy(&word, at_, 8), !has_special(word))) at_ += 8;
    if (at_ == end_) return false;
    const auto c = static_cast<unsigned char>(*at_);
    if (c == '"') break;
    if (c < 0x20) return false;
    if (c >= 0x80) {
      Utf8Validator utf8;  // one run of characters beyond ASCII
      const char* run = at_;
      while (at_ < end_ && static_cast<unsigned char>(*at_) >= 0x80) ++at_;
      if (!utf8.feed({run, static_cast<std::size_t>(at_ - run)}) || !utf8.complete()) return false;
      continue;
    }
    if (c != '\\') {
      ++at_;
      continue;
    }
    if (end_ - at_ < 2) return false;
    const char kind = at_[1];
    at_ += 2;
    if (kind != 'u') {
      if (std::strchr("\"\\/bfnrt", kind) == nullptr || kind == '\0') return false;
      ++escaped_away;
      continue;
    }
    const auto unit = [this]() -> int {
      if (end_ - at_ < 4) return -1;
      int value = 0;
      for (int i = 0; i < 4; ++i) {
        const int digit = hex_value(at_[i]);
        if (digit < 0) return -1;
        value = value << 4 | digit;
      }
      at_ += 4;
      return value;
    };
    const int first = unit();
    if (first < 0) return false;
    // JSON's grammar allows a lone surrogate, but no UTF-8 text can hold it, so neither can any receiver's string.
    if (first >= 0xdc00 && first <= 0xdfff) return false;
    if (first >= 0xd800 && first <= 0xdbff) {
      if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') return false;
      at_ += 2;
      const int second = unit();
      if (second < 0xdc00 || second > 0xdfff) return false;
      escaped_away += 12 - 4;
    } else {
      escaped_away += 6u - (first < 0x80 ? 1u : first < 0x800 ? 2u : 3u);
    }
  }
  size_ = static_cast<std::uint64_t>(at_ - begin) - escaped_away;
  ++at_;
  return true;
}

bool Walker::scalar_or_open() {
  opened_ = false;
  if (at_ == end_) return false;
  switch (*at_) {
    case '{':
    case '[':
      if (depth_ >= depth_max_) return false;
      stack_[depth_++] = {0, 0, *at_ == '{', true};
      ++at_;
      opened_ = true;
      return true;
    case '"':
      ++at_;
      if (!string()) return false;
      size_ += 5;
      type_ = Type::kString;
      return true;
    case 't':
      return literal("true", Type::kTrue, 6);
    case 'f':
      return literal("false", Type::kFalse, 7);
    case 'n':
      return literal("null", Type::kNull, 5);
    default:
      return number();
  }
}

// The innermost container is complete.
bool Walker::close() {
  const Container& done = stack_[--depth_];
  type_ = done.is_object ? Type::kObject : Type::kArray;
  if (done.is_object) {
    size_ = 5 + done.sum;
  } else if (done.count == 0) {
    size_ = 1;
  } else if (done.all_bytes && done.count <= 65535) {
    size_ = 3 + done.count;
  } else {
    size_ = 6 + done.sum;
  }
  return true;
}

// `"key" :` of an object's member.
bool Walker::member_key() {
  skip_space();
  if (!take('"') || !string()) return false;
  stack_[depth_ - 1].sum += 5 + size_;
  skip_space();
  if (!take(':')) return false;
  skip_space();
  return true;
}

// Adds the value just walked to its container.
void Walker::account(std::uint64_t size) {
  Container& parent = stack_[depth_ - 1];
  parent.sum += size;
  if (parent.count < 65536) ++parent.count;
  // Only an integer 0..255 has size 2.
  if (type_ != Type::kNumber || size != 2) parent.all_bytes = false;
}

std::optional<Walked> Walker::run() {
  if (!scalar_or_open()) return std::nullopt;
  while (depth_ > 0) {
    Container& innermost = stack_[depth_ - 1];
    skip_space();
    if (opened_ && take(innermost.is_object ? '}' : ']')) {
      close();
    } else {
      if (opened_ || take(',')) {
        if (innermost.is_object && !member_key()) return std::nullopt;
        skip_space();
        if (!scalar_or_open()) return std::nullopt;
        if (opened_) continue;
        account(size_);
        continue;
      }
      if (!take(innermost.is_object ? '}' : ']')) return std::nullopt;
      close();
    }
    opened_ = false;
    if (depth_ > 0) account(size_);
  }
  return Walked{type_, static_cast<std::size_t>(at_ - begin_), size_};
}

}  // namespace

std::optional<Walked> walk_value(std::string_view text, int depth_max) {
  RT_CHECK(depth_max <= kDepthMax);
  return Walker(text, depth_max).run();
}

std::size_t skip_white_space(std::string_view text, std::size_t from) {
  while (from < text.size() && (text[from] == ' ' || text[from] == '\n' || text[from] == '\r' || text[from] == '\t'))
    ++from;
  return from;
}

std::optional<Document> walk_document(std::string_view text, int depth_max) {
  const std::size_t begin = skip_white_space(text, 0);
  const auto walked = walk_value(text.substr(begin), depth_max);
  if (!walked) return std::nullopt;
  if (skip_white_space(text, begin + walked->length) != text.size()) return std::nullopt;
  return Document{text.substr(begin, walked->length), walked->type, walked->term_size};
}

}  // namespace rt::json
