#include "domain/changes/number_text.h"

#include <algorithm>
#include <optional>

namespace rt::changes {
namespace {

// Postgres refuses larger exponents even of zero.
constexpr std::int64_t kExponentMax = 1'073'741'822;

struct Number {
  bool is_negative = false;
  std::string_view whole{};  // digits; without leading zeros, or `0`
  std::string_view fraction{};
  std::int64_t exponent = 0;
  bool has_exponent = false;

  bool is_zero() const { return whole == "0" && fraction.find_first_not_of('0') == std::string_view::npos; }
};

bool take(std::string_view& in, char c) {
  if (!in.starts_with(c)) return false;
  in.remove_prefix(1);
  return true;
}

std::string_view take_digits(std::string_view& in) {
  std::size_t size = 0;
  while (size < in.size() && in[size] >= '0' && in[size] <= '9') ++size;
  const std::string_view digits = in.substr(0, size);
  in.remove_prefix(size);
  return digits;
}

std::optional<std::int64_t> take_exponent(std::string_view& in) {
  const bool is_negative = take(in, '-');
  if (!is_negative) take(in, '+');
  const std::string_view digits = take_digits(in);
  if (digits.empty()) return std::nullopt;
  std::int64_t value = 0;
  for (const char digit : digits) {
    value = value * 10 + (digit - '0');
    if (value > kExponentMax) return std::nullopt;
  }
  return is_negative ? -value : value;
}

// RFC 8259 6.
std::optional<Number> parse(std::string_view in) {
  Number out;
  out.is_negative = take(in, '-');
  out.whole = take_digits(in);
  if (out.whole.empty() || (out.whole.size() > 1 && out.whole[0] == '0')) return std::nullopt;
  if (take(in, '.')) {
    out.fraction = take_digits(in);
    if (out.fraction.empty()) return std::nullopt;
  }
  if (take(in, 'e') || take(in, 'E')) {
    const auto exponent = take_exponent(in);
    if (!exponent) return std::nullopt;
    out.exponent = *exponent;
    out.has_exponent = true;
  }
  if (!in.empty()) return std::nullopt;
  return out;
}

std::int64_t size_of(std::string_view text) { return static_cast<std::int64_t>(text.size()); }

std::int64_t fraction_digits(const Number& number) {
  return std::max<std::int64_t>(0, size_of(number.fraction) - number.exponent);
}

// How many digits stand before the point, of one that is not zero; negative: how many zeros follow it.
std::int64_t whole_digits(const Number& number) {
  if (number.whole != "0") return size_of(number.whole) + number.exponent;
  return number.exponent - static_cast<std::int64_t>(number.fraction.find_first_not_of('0'));
}

bool is_in_range(const Number& number) {
  return fraction_digits(number) <= kFractionDigitsMax && (number.is_zero() || whole_digits(number) <= kWholeDigitsMax);
}

void append_zeros(std::string& out, std::int64_t count) { out.append(static_cast<std::size_t>(count), '0'); }

void append_zero(std::string& out, std::int64_t places) {
  out += '0';
  if (places == 0) return;
  out += '.';
  append_zeros(out, places);
}

// With its exponent worked in.
void append_moved(std::string& out, const Number& number) {
  std::string digits(number.whole);
  digits.append(number.fraction);
  digits.erase(0, digits.find_first_not_of('0'));
  const std::int64_t point = whole_digits(number);
  if (point <= 0) {
    out += "0.";
    append_zeros(out, -point);
    out += digits;
  } else if (point >= size_of(digits)) {
    out += digits;
    append_zeros(out, point - size_of(digits));
  } else {
    out.append(digits, 0, static_cast<std::size_t>(point)).append(".");
    out.append(digits, static_cast<std::size_t>(point));
  }
}

}  // namespace

bool append_number(std::string& out, std::string_view text) {
  const auto number = parse(text);
  if (!number || !is_in_range(*number)) return false;
  if (number->is_zero()) {
    append_zero(out, fraction_digits(*number));
    return true;
  }
  if (!number->has_exponent) {
    out.append(text);
    return true;
  }
  if (number->is_negative) out += '-';
  append_moved(out, *number);
  return true;
}

}  // namespace rt::changes
