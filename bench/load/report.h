// The figures: a table for people, JSON for programs.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rt::load {

using Series = std::vector<double>;  // one value for each run

double median(Series values);                                 // NaN of none
Series ratios(const Series& values, const Series& baseline);  // run by run

struct Row {
  std::string scenario;
  std::string figure;
  std::string unit;
  int decimals = 0;
  Series values;
  Series baseline;  // may be empty
  Series ratio;     // likewise
  std::optional<double> value_min;
  std::optional<double> value_max;
  std::optional<double> ratio_max;
  std::string note;  // instead of figures, or beside them

  bool has_budget() const { return value_min || value_max || ratio_max; }
  bool is_met() const;
};

class Report {
 public:
  void add(Row row) { rows_.push_back(std::move(row)); }
  std::string table() const;
  std::string json() const;

 private:
  std::vector<Row> rows_;
};

}  // namespace rt::load
