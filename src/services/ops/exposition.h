// Metrics as Prometheus reads them: the text exposition format, version 0.0.4.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rt::ops {

struct Label {
  std::string_view name;
  std::string value;
};

enum class MetricType : std::uint8_t { kCounter, kGauge };

class Exposition {
 public:
  // `global_labels` are put on every series.
  explicit Exposition(std::vector<Label> global_labels) : global_labels_(std::move(global_labels)) {}

  // The samples that follow are of this metric; without any, nothing is written of it. The help is one line. Both texts
  // must live until the next metric.
  void metric(std::string_view name, MetricType type, std::string_view help);
  void sample(std::int64_t value, std::vector<Label> labels = {});
  void sample_seconds(double value);

  // The whole text with its end marker.
  std::string finish() &&;

 private:
  void series(std::vector<Label> labels);

  void begin();  // the lines that a metric begins with, before its first sample

  std::vector<Label> global_labels_;
  std::string_view name_;
  MetricType type_{};
  std::string_view help_;
  bool has_begun_ = false;
  std::string text_;
};

// The standard process_* metrics of this process.
void write_process_metrics(Exposition& out);

}  // namespace rt::ops
