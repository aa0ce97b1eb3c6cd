// Metrics as Prometheus reads them: the text exposition format, version 0.0.4.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/histogram.h"

namespace rt::ops {

struct Label {
  std::string_view name;
  std::string_view value;
};
using Labels = std::initializer_list<Label>;

enum class MetricType : std::uint8_t { kCounter, kGauge, kHistogram };

class Exposition {
 public:
  // `global_labels` (name, value) are put on every series. The text begins with `before`.
  explicit Exposition(const std::vector<std::pair<std::string, std::string>>& global_labels, std::string before = {});

  // There is about so much to come. A text of megabytes that grows by and by is copied, and its memory found, again and
  // again.
  void expect(std::size_t bytes) { text_.reserve(text_.size() + bytes); }

  // The samples that follow are of this metric; without any, nothing is written of it. The help is one line. Both texts
  // must live until the next metric.
  void metric(std::string_view name, MetricType type, std::string_view help);
  void sample(std::int64_t value, Labels labels = {});
  void sample_number(double value, Labels labels = {});
  // All samples of one histogram. Its numbers are shown divided by `unit`, the sum rounded to an integer.
  void histogram(const HistogramCounts& counts, std::int64_t unit, Labels labels = {});

  // The whole text with its end marker.
  std::string finish() &&;

 private:
  struct GlobalLabel {
    std::string name;
    std::string text;  // `name="value"`
  };

  void begin();  // the lines that a metric begins with, before its first sample
  void set_labels(Labels labels);
  void series(std::string_view suffix);
  void number(std::uint64_t value);

  std::vector<GlobalLabel> global_labels_;  // sorted
  std::string_view name_;
  MetricType type_{};
  std::string_view help_;
  bool has_begun_ = false;
  std::string labels_;  // of the series at hand, sorted, with commas
  std::string text_;
};

// A bound of a histogram as dashboards know it: the shorter of `250.0` and `2.5e2`, the first where both are as long.
std::string bound_text(std::int64_t bound);

// The standard process_* metrics of this process, which began to run at `started_at` (seconds since 1970).
void write_process_metrics(Exposition& out, double started_at);

}  // namespace rt::ops
