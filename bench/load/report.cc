#include "load/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string_view>

#include "protocol/json/value.h"

namespace rt::load {
namespace {

constexpr int kRatioDecimals = 2;

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

// 1234567.8 -> 1,234,567.8
std::string grouped(double value, int decimals) {
  std::string text = fixed(value, decimals);
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  for (std::size_t at = std::min(text.find('.'), text.size()); at > first + 3;) text.insert(at -= 3, ",");
  return text;
}

std::string median_text(const Series& values, int decimals) {
  return values.empty() ? "" : grouped(median(values), decimals);
}

// How far the runs lie apart: half of what is between the smallest and the largest, relative to the median.
std::string spread_text(const Series& values) {
  if (values.size() < 2 || median(values) == 0) return "";
  const auto [low, high] = std::ranges::minmax(values);
  return "±" + fixed(50 * (high - low) / median(values), 0) + "%";
}

std::string budget_text(const Row& row) {
  std::string out;
  const auto add = [&](std::string text) { out += (out.empty() ? "" : ", ") + std::move(text); };
  const auto bound = [&](double value) { return grouped(value, value < 10.0 ? kRatioDecimals : 0) + " " + row.unit; };
  if (row.value_min) add(">= " + bound(*row.value_min));
  if (row.value_max) add("<= " + bound(*row.value_max));
  if (row.ratio_max) add("ratio <= " + fixed(*row.ratio_max, kRatioDecimals));
  return out;
}

std::string verdict_text(const Row& row) {
  if (!row.has_budget()) return row.note;
  const std::string verdict = row.values.empty() ? "" : row.is_met() ? "ok" : "MISSED";
  return verdict + (verdict.empty() || row.note.empty() ? "" : ", ") + row.note;
}

constexpr std::size_t kColumns = 9;
using Cells = std::array<std::string, kColumns>;
constexpr std::array<bool, kColumns> kAlignRight = {false, false, true, false, true, true, true, false, false};

Cells cells(const Row& row) {
  return {row.scenario,
          row.figure,
          median_text(row.values, row.decimals),
          row.unit,
          spread_text(row.values),
          median_text(row.baseline, row.decimals),
          median_text(row.ratio, kRatioDecimals),
          budget_text(row),
          verdict_text(row)};
}

// Characters on the terminal: what continues one in UTF-8 takes no place.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string json_numbers(const Series& values) {
  std::string out;
  for (const double value : values) out += (out.empty() ? "" : ",") + fixed(value, 4);
  return "[" + out + "]";
}

void append_series(std::string& out, std::string_view name, const Series& values) {
  if (values.empty()) return;
  out += ",\"" + std::string(name) + "\":" + fixed(median(values), 4);
  out += ",\"" + std::string(name) + "_runs\":" + json_numbers(values);
}

std::string json_of(const Row& row) {
  std::string out = "{\"scenario\":" + json::quoted(row.scenario) + ",\"figure\":" + json::quoted(row.figure) +
                    ",\"unit\":" + json::quoted(row.unit);
  append_series(out, "value", row.values);
  append_series(out, "baseline", row.baseline);
  append_series(out, "ratio", row.ratio);
  if (row.value_min) out += ",\"value_min\":" + fixed(*row.value_min, 2);
  if (row.value_max) out += ",\"value_max\":" + fixed(*row.value_max, 2);
  if (row.ratio_max) out += ",\"ratio_max\":" + fixed(*row.ratio_max, 2);
  if (row.has_budget() && !row.values.empty()) out += row.is_met() ? ",\"met\":true" : ",\"met\":false";
  if (!row.note.empty()) out += ",\"note\":" + json::quoted(row.note);
  return out + "}";
}

}  // namespace

double median(Series values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Series ratios(const Series& values, const Series& baseline) {
  Series out;
  for (std::size_t run = 0; run < std::min(values.size(), baseline.size()); ++run)
    out.push_back(values[run] / baseline[run]);
  return out;
}

bool Row::is_met() const {
  const bool is_enough = !value_min || median(values) >= *value_min;
  const bool is_in_bounds = !value_max || median(values) <= *value_max;
  const bool ratio_met = !ratio_max || median(ratio) <= *ratio_max;
  return is_enough && is_in_bounds && ratio_met;
}

std::string Report::table() const {
  if (rows_.empty()) return {};
  std::vector<Cells> lines = {{"scenario", "figure", "median", "unit", "spread", "baseline", "ratio", "budget", ""}};
  for (const Row& row : rows_) lines.push_back(cells(row));

  std::array<std::size_t, kColumns> widths{};
  for (const Cells& line : lines) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string out;
  for (const Cells& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < kColumns; ++i) {
      const std::string padding(widths[i] - width(line[i]), ' ');
      text += (kAlignRight[i] ? padding + line[i] : line[i] + padding) + "  ";
    }
    out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string Report::json() const {
  std::string out = "{\"rows\":[";
  for (const Row& row : rows_) out += (&row == rows_.data() ? "\n" : ",\n") + json_of(row);
  return out + "\n]}\n";
}

}  // namespace rt::load
