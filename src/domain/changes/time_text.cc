#include "domain/changes/time_text.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace rt::changes {
namespace {

using namespace std::chrono;

constexpr std::size_t kYearDigitsMin = 4;
constexpr std::size_t kYearDigitsMax = 6;

std::size_t leading_digits(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  return count;
}

// Takes what has the form of `pattern`, where 0 is any digit.
bool take(std::string_view& in, std::string_view pattern) {
  if (in.size() < pattern.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const bool fits = pattern[i] == '0' ? in[i] >= '0' && in[i] <= '9' : in[i] == pattern[i];
    if (!fits) return false;
  }
  in.remove_prefix(pattern.size());
  return true;
}

bool take_date(std::string_view& in) {
  const std::size_t year = leading_digits(in);
  if (year < kYearDigitsMin || year > kYearDigitsMax) return false;
  in.remove_prefix(year);
  return take(in, "-00-00");
}

bool take_time(std::string_view& in) {
  if (!take(in, "00:00:00")) return false;
  if (!take(in, ".0")) return true;
  in.remove_prefix(leading_digits(in));
  return true;
}

// Of the commit, within years of four digits, whatever the server says.
sys_time<microseconds> commit_time(std::int64_t micros) {
  constexpr sys_days kEpoch = year(2000) / January / 1;
  constexpr microseconds kFirst = sys_days(year(1) / January / 1) - kEpoch;
  constexpr microseconds kLast = sys_days(year(10'000) / January / 1) - kEpoch - microseconds(1);
  return kEpoch + std::clamp(microseconds(micros), kFirst, kLast);
}

}  // namespace

bool append_timestamp(std::string& out, std::string_view text) {
  std::string_view rest = text;
  if (!take_date(rest)) return false;
  const std::string_view date = text.substr(0, text.size() - rest.size());
  if (!take(rest, " ")) return false;
  const std::string_view from_time = rest;
  if (!take_time(rest)) return false;
  const std::string_view time = from_time.substr(0, from_time.size() - rest.size());

  const std::string_view from_offset = rest;
  const bool has_offset = take(rest, "+00") || take(rest, "-00");
  const bool has_minutes = has_offset && take(rest, ":00");
  if (has_minutes) take(rest, ":00");
  const std::string_view offset = from_offset.substr(0, from_offset.size() - rest.size());
  if (!rest.empty() && rest != " BC") return false;

  out.append(date).append("T").append(time).append(offset);
  if (has_offset && !has_minutes) out += ":00";
  out.append(rest);
  return true;
}

std::string commit_timestamp(std::int64_t micros) {
  const auto time = floor<milliseconds>(commit_time(micros));
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss of_day(time - day);
  char out[64];
  const int size =
      std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                    static_cast<int>(of_day.hours().count()), static_cast<int>(of_day.minutes().count()),
                    static_cast<int>(of_day.seconds().count()), static_cast<int>(of_day.subseconds().count()));
  return {out, static_cast<std::size_t>(size)};
}

std::size_t commit_text_size(std::int64_t micros) {
  constexpr std::string_view kWithoutFraction = "2026-08-21 12:03:56+00";
  const auto time = commit_time(micros);
  std::int64_t fraction = (time - floor<seconds>(time)).count();
  if (fraction == 0) return kWithoutFraction.size();
  std::size_t digits = 6;
  for (; fraction % 10 == 0; fraction /= 10) --digits;
  return kWithoutFraction.size() + 1 + digits;
}

}  // namespace rt::changes
