#include "domain/changes/value_key.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "domain/changes/time_value.h"

namespace rt::changes {
namespace {

// Of pg_catalog; they are the same in every database.
enum BuiltIn : Oid {
  kBool = 16,
  kBytea = 17,
  kName = 19,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kText = 25,
  kOid = 26,
  kCidr = 650,
  kFloat4 = 700,
  kFloat8 = 701,
  kMacaddr8 = 774,
  kMacaddr = 829,
  kInet = 869,
  kBpchar = 1042,
  kVarchar = 1043,
  kDate = 1082,
  kTime = 1083,
  kTimestamp = 1114,
  kTimestamptz = 1184,
  kNumeric = 1700,
  kUuid = 2950,
  kPgLsn = 3220,
};

using Key = std::optional<std::string_view>;

std::string_view big_endian(std::uint64_t value, std::string& room) {
  room.resize(8);
  for (std::size_t i = 0; i < 8; ++i) room[i] = static_cast<char>(value >> (56 - 8 * i));
  return room;
}

std::string_view signed_key(std::int64_t value, std::string& room) {
  return big_endian(static_cast<std::uint64_t>(value) ^ (std::uint64_t{1} << 63), room);
}

Key signed_key(std::optional<std::int64_t> value, std::string& room) {
  if (!value) return std::nullopt;
  return signed_key(*value, room);
}

// All of `text`, or nothing.
template <class Number, class... How>
std::optional<Number> parsed(std::string_view text, How... how) {
  Number out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, how...);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// In the order of Postgres: NaN is the largest of all.
enum class NumericClass : char { kMinusInfinity, kNegative, kZero, kPositive, kInfinity, kNaN };

std::optional<NumericClass> special(std::string_view text) {
  if (text == "NaN") return NumericClass::kNaN;
  if (text == "Infinity") return NumericClass::kInfinity;
  if (text == "-Infinity") return NumericClass::kMinusInfinity;
  return std::nullopt;
}

bool are_digits(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Its class, how many digits stand before the point, and all digits from the first to the last that is no zero. Of a
// negative number both are turned around, with an end behind the digits that is larger than any.
Key numeric_key(std::string_view text, std::string& room) {
  room.clear();
  if (const auto which = special(text)) {
    room += static_cast<char>(*which);
    return room;
  }
  const bool is_negative = text.starts_with('-');
  if (is_negative) text.remove_prefix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = point < text.size() ? text.substr(point + 1) : std::string_view();
  if (text.empty() || !are_digits(whole) || !are_digits(fraction)) return std::nullopt;

  const std::size_t first_of_whole = whole.find_first_not_of('0');
  std::int32_t digits_before_point = 0;
  if (first_of_whole != std::string_view::npos) {
    digits_before_point = static_cast<std::int32_t>(whole.size() - first_of_whole);
  } else if (const std::size_t first = fraction.find_first_not_of('0'); first != std::string_view::npos) {
    digits_before_point = -static_cast<std::int32_t>(first);
  } else {
    room += static_cast<char>(NumericClass::kZero);
    return room;
  }
  room += static_cast<char>(is_negative ? NumericClass::kNegative : NumericClass::kPositive);
  std::uint32_t exponent = static_cast<std::uint32_t>(digits_before_point) ^ (std::uint32_t{1} << 31);
  if (is_negative) exponent = ~exponent;
  for (int shift = 24; shift >= 0; shift -= 8) room += static_cast<char>(exponent >> shift);
  const std::size_t begin = room.size();
  if (first_of_whole != std::string_view::npos) room += whole.substr(first_of_whole);
  room += first_of_whole != std::string_view::npos ? fraction : fraction.substr(fraction.find_first_not_of('0'));
  room.resize(room.find_last_not_of('0') + 1);
  if (is_negative) {
    for (std::size_t i = begin; i < room.size(); ++i) room[i] = static_cast<char>('0' + '9' - room[i]);
    room += '~';
  }
  return room;
}

// Those of a double, or of a float that became one, with the sign turned around.
template <class Number>
Key float_key(std::string_view text, std::string& room) {
  double value = 0;
  if (const auto which = special(text)) {
    if (*which == NumericClass::kNaN) return big_endian(~std::uint64_t{0}, room);
    value = *which == NumericClass::kInfinity ? HUGE_VAL : -HUGE_VAL;
  } else {
    const auto number = parsed<Number>(text, std::chars_format::general);
    if (!number || !std::isfinite(*number)) return std::nullopt;
    value = *number == 0 ? 0 : static_cast<double>(*number);  // -0 is 0
  }
  const auto bits = std::bit_cast<std::uint64_t>(value);
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  return big_endian((bits & kSign) != 0 ? ~bits : bits | kSign, room);
}

// `16/B374D848`
Key lsn_key(std::string_view text, std::string& room) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high = parsed<std::uint32_t>(text.substr(0, slash), 16);
  const auto low = parsed<std::uint32_t>(text.substr(slash + 1), 16);
  if (!high || !low) return std::nullopt;
  return big_endian((std::uint64_t{*high} << 32) | *low, room);
}

// A row leaves the length of the network out where it is that of the address; a cast to text does not.
std::string_view address_key(std::string_view text) {
  const std::string_view whole = text.find(':') == std::string_view::npos ? "/32" : "/128";
  if (text.ends_with(whole)) text.remove_suffix(whole.size());
  return text;
}

// `12:34:56.789`: all that is written is in the order of its bytes, as zeros at the end of the fraction are not.
bool is_time(std::string_view text) {
  return text.size() >= 8 && text.size() <= 15 && text[2] == ':' && text[5] == ':' &&
         (text.size() == 8 || text[8] == '.') &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || c == ':' || c == '.'; });
}

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

KeyKind key_kind(const Types& types, Oid type) {
  switch (type) {
    case kBool:
      return KeyKind::kBool;
    case kBytea:
      return KeyKind::kBytea;
    case kName:
    case kText:
    case kVarchar:
      return KeyKind::kText;
    case kBpchar:
      return KeyKind::kBlanked;
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      return KeyKind::kInteger;
    case kNumeric:
      return KeyKind::kNumeric;
    case kFloat4:
      return KeyKind::kFloat4;
    case kFloat8:
      return KeyKind::kFloat8;
    case kUuid:
      return KeyKind::kUuid;
    case kMacaddr:
    case kMacaddr8:
      return KeyKind::kMac;
    case kPgLsn:
      return KeyKind::kLsn;
    case kInet:
    case kCidr:
      return KeyKind::kAddress;
    case kDate:
      return KeyKind::kDate;
    case kTime:
      return KeyKind::kTime;
    case kTimestamp:
    case kTimestamptz:
      return KeyKind::kTimestamp;
    default:
      break;
  }
  const Type* known = types.find(type);
  return known != nullptr && known->kind == TypeKind::kEnum ? KeyKind::kEnum : KeyKind::kNone;
}

bool is_ordered(KeyKind kind, const TextRules& rules) {
  switch (kind) {
    case KeyKind::kText:
    case KeyKind::kBlanked:
      return rules.orders_by_bytes;
    case KeyKind::kNone:
    case KeyKind::kEnum:
    case KeyKind::kAddress:
      return false;
    default:
      return true;
  }
}

Key key_of(KeyKind kind, std::string_view text, std::string& room) {
  switch (kind) {
    case KeyKind::kNone:
      return std::nullopt;
    case KeyKind::kText:
    case KeyKind::kEnum:
    case KeyKind::kUuid:
    case KeyKind::kMac:
      return text;
    case KeyKind::kBlanked:
      return text.substr(0, text.find_last_not_of(' ') + 1);
    case KeyKind::kBool:
      if (text == "t" || text == "true") return "1";
      if (text == "f" || text == "false") return "0";
      return std::nullopt;
    case KeyKind::kInteger:
      return signed_key(parsed<std::int64_t>(text), room);
    case KeyKind::kNumeric:
      return numeric_key(text, room);
    case KeyKind::kFloat4:
      return float_key<float>(text, room);
    case KeyKind::kFloat8:
      return float_key<double>(text, room);
    case KeyKind::kLsn:
      return lsn_key(text, room);
    case KeyKind::kAddress:
      return address_key(text);
    case KeyKind::kDate:
      return signed_key(parse_date(text), room);
    case KeyKind::kTime:
      if (!is_time(text)) return std::nullopt;
      return text;
    case KeyKind::kTimestamp:
      return signed_key(parse_timestamp(text), room);
    case KeyKind::kBytea:
      if (!text.starts_with("\\x") || !is_lower_hex(text.substr(2))) return std::nullopt;
      return text.substr(2);
  }
  return std::nullopt;
}

bool is_no_number(std::string_view text) { return special(text).has_value(); }

bool may_depend_on_time(KeyKind kind) {
  return kind == KeyKind::kDate || kind == KeyKind::kTime || kind == KeyKind::kTimestamp || kind == KeyKind::kNone;
}

bool mentions_time(std::string_view text) {
  static constexpr std::string_view kWords[] = {"now", "today", "tomorrow", "yesterday"};
  std::string word;
  const auto is_meant = [&word] { return std::ranges::find(kWords, word) != std::end(kWords); };
  for (const char c : text) {
    // In an array, a range or a row they may stand within words.
    if (c == '\\' || c == '"') continue;
    const char lower = static_cast<char>(c | 0x20);
    if (lower >= 'a' && lower <= 'z') {
      word += lower;
    } else if (is_meant()) {
      return true;
    } else {
      word.clear();
    }
  }
  return is_meant();
}

}  // namespace rt::changes
