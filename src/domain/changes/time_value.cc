#include "domain/changes/time_value.h"

#include <limits>

namespace rt::changes {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kSecondsPerDay = 86'400;
// Of a timestamp, so that its microseconds have room: Postgres ends in 294276, and it may be a day later somewhere.
constexpr std::int64_t kYearMax = 294'277;

// Takes what it reads off the front of a text. Once something was not there, nothing more is.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool is_well() const { return is_well_; }
  bool is_at_end() const { return text_.empty(); }
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void need(char c) { is_well_ = take(c) && is_well_; }
  // So many digits, or from `least` to `most` of them.
  std::int64_t number(std::size_t least, std::size_t most, std::size_t* count = nullptr) {
    std::int64_t out = 0;
    std::size_t digits = 0;
    for (; digits < most && digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9'; ++digits)
      out = 10 * out + (text_[digits] - '0');
    text_.remove_prefix(digits);
    is_well_ = digits >= least && is_well_;
    if (count != nullptr) *count = digits;
    return out;
  }

 private:
  std::string_view text_;
  bool is_well_ = true;
};

// Days since 2000-01-01 of a date of the Gregorian calendar, as if it had always been in use.
std::int64_t days_of(std::int64_t year, std::int64_t month, std::int64_t day) {
  // Years begin in March, so that the day that may be missing is the last one.
  if (month <= 2) --year;
  const std::int64_t months = (month + 9) % 12;
  const auto floor_div = [](std::int64_t a, std::int64_t b) { return (a >= 0 ? a : a - b + 1) / b; };
  const std::int64_t before_year = 365 * year + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400);
  const std::int64_t before_month = (153 * months + 2) / 5;
  constexpr std::int64_t kMarch1stOfYear0 = -730'425;
  return kMarch1stOfYear0 + before_year + before_month + day - 1;
}

struct Date {
  std::int64_t year = 0;
  std::int64_t month = 0;
  std::int64_t day = 0;
};

Date take_date(Scanner& scanner) {
  Date date;
  date.year = scanner.number(4, 7);
  scanner.need('-');
  date.month = scanner.number(2, 2);
  scanner.need('-');
  date.day = scanner.number(2, 2);
  return date;
}

std::int64_t take_time_of_day(Scanner& scanner) {
  std::int64_t seconds = 3'600 * scanner.number(2, 2);
  scanner.need(':');
  seconds += 60 * scanner.number(2, 2);
  scanner.need(':');
  seconds += scanner.number(2, 2);
  std::int64_t fraction = 0;
  if (scanner.take('.')) {
    std::size_t digits = 0;
    fraction = scanner.number(1, 6, &digits);
    for (; digits < 6; ++digits) fraction *= 10;
  }
  return seconds * kMicrosPerSecond + fraction;
}

std::int64_t take_offset_seconds(Scanner& scanner) {
  const bool is_negative = scanner.take('-');
  if (!is_negative && !scanner.take('+')) return 0;
  std::int64_t seconds = 3'600 * scanner.number(2, 2);
  if (scanner.take(':')) seconds += 60 * scanner.number(2, 2);
  if (scanner.take(':')) seconds += scanner.number(2, 2);
  return is_negative ? -seconds : seconds;
}

// The year before 1 is `0001 BC`.
void take_era(Scanner& scanner, Date& date) {
  if (!scanner.take(' ')) return;
  scanner.need('B');
  scanner.need('C');
  date.year = 1 - date.year;
}

std::optional<std::int64_t> infinite(std::string_view text) {
  if (text == "infinity") return std::numeric_limits<std::int64_t>::max();
  if (text == "-infinity") return std::numeric_limits<std::int64_t>::min();
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_date(std::string_view text) {
  if (const auto end = infinite(text)) return end;
  Scanner scanner(text);
  Date date = take_date(scanner);
  take_era(scanner, date);
  if (!scanner.is_well() || !scanner.is_at_end()) return std::nullopt;
  return days_of(date.year, date.month, date.day);
}

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  if (const auto end = infinite(text)) return end;
  Scanner scanner(text);
  Date date = take_date(scanner);
  scanner.need(' ');
  const std::int64_t time_of_day = take_time_of_day(scanner);
  const std::int64_t offset = take_offset_seconds(scanner);
  take_era(scanner, date);
  if (!scanner.is_well() || !scanner.is_at_end() || date.year > kYearMax || date.year < -kYearMax) return std::nullopt;
  const std::int64_t seconds = days_of(date.year, date.month, date.day) * kSecondsPerDay - offset;
  return seconds * kMicrosPerSecond + time_of_day;
}

}  // namespace rt::changes
