#include "services/ops/exposition.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/check.h"

namespace rt::ops {
namespace {

void append_label(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty()) out += ',';
  out.append(name).append("=\"");
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  out += '"';
}

std::int64_t resident_bytes() {
  long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * sysconf(_SC_PAGESIZE);
}

std::int64_t open_descriptors() {
  std::int64_t count = 0;
  if (DIR* directory = opendir("/proc/self/fd")) {
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
  }
  return std::max<std::int64_t>(0, count - 3);  // `.`, `..` and the directory itself
}

}  // namespace

Exposition::Exposition(const std::vector<std::pair<std::string, std::string>>& global_labels, std::string before)
    : text_(std::move(before)) {
  for (const auto& [name, value] : global_labels) {
    GlobalLabel& label = global_labels_.emplace_back(GlobalLabel{.name = name});
    append_label(label.text, name, value);
  }
  std::ranges::sort(global_labels_, {}, &GlobalLabel::name);
}

void Exposition::metric(std::string_view name, MetricType type, std::string_view help) {
  name_ = name;
  type_ = type;
  help_ = help;
  has_begun_ = false;
}

void Exposition::begin() {
  if (std::exchange(has_begun_, true)) return;
  text_.append("# HELP ").append(name_).append(" ").append(help_).append("\n# TYPE ").append(name_);
  text_.append(type_ == MetricType::kCounter ? " counter\n"
               : type_ == MetricType::kGauge ? " gauge\n"
                                             : " histogram\n");
}

void Exposition::set_labels(Labels labels) {
  constexpr std::size_t kLabelsMax = 8;
  RT_CHECK(labels.size() <= kLabelsMax);
  std::array<Label, kLabelsMax> sorted;
  const auto end = std::ranges::copy(labels, sorted.begin()).out;
  std::ranges::sort(sorted.begin(), end, {}, &Label::name);
  labels_.clear();
  auto next = sorted.begin();
  const auto add_before = [&](std::string_view name) {
    for (; next != end && (name.empty() || next->name < name); ++next) append_label(labels_, next->name, next->value);
  };
  for (const GlobalLabel& label : global_labels_) {
    add_before(label.name);
    if (!labels_.empty()) labels_ += ',';
    labels_ += label.text;
  }
  add_before({});
}

void Exposition::series(std::string_view suffix) {
  text_.append(name_).append(suffix);
  if (!labels_.empty()) text_.append("{").append(labels_).append("}");
  text_ += ' ';
}

void Exposition::number(std::uint64_t value) {
  std::array<char, 24> digits;
  const auto [end, error] = std::to_chars(digits.begin(), digits.end(), value);
  text_.append(digits.begin(), end) += '\n';
}

void Exposition::sample(std::int64_t value, Labels labels) {
  begin();
  set_labels(labels);
  series({});
  if (value < 0) text_ += '-';
  number(value < 0 ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value));
}

void Exposition::sample_number(double value, Labels labels) {
  begin();
  set_labels(labels);
  series({});
  std::array<char, 32> digits;
  const auto [end, error] = std::to_chars(digits.begin(), digits.end(), value, std::chars_format::fixed);
  text_.append(digits.begin(), error == std::errc() ? end : digits.begin()) += '\n';
}

void Exposition::histogram(const HistogramCounts& counts, std::int64_t unit, Labels labels) {
  begin();
  set_labels(labels);
  std::uint64_t below = 0;
  const auto bucket = [&](std::string_view bound, std::uint64_t count) {
    text_.append(name_).append("_bucket{").append(labels_).append(labels_.empty() ? "le=\"" : ",le=\"");
    text_.append(bound).append("\"} ");
    number(below += count);
  };
  for (std::size_t i = 0; i < counts.bounds.size(); ++i) bucket(bound_text(counts.bounds[i] / unit), counts.counts[i]);
  bucket("+Inf", counts.counts[counts.bounds.size()]);
  series("_sum");
  number((counts.sum + static_cast<std::uint64_t>(unit) / 2) / static_cast<std::uint64_t>(unit));
  series("_count");
  number(below);
}

std::string Exposition::finish() && {
  text_ += "# EOF\n";
  return std::move(text_);
}

std::string bound_text(std::int64_t bound) {
  const std::string digits = std::to_string(bound);
  const std::size_t last = digits.find_last_not_of('0');
  const std::string fraction = last == std::string::npos || last == 0 ? "0" : digits.substr(1, last);
  const std::string scientific = digits.substr(0, 1) + "." + fraction + "e" + std::to_string(digits.size() - 1);
  return scientific.size() < digits.size() + 2 ? scientific : digits + ".0";
}

void write_process_metrics(Exposition& out, double started_at) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  out.metric("process_cpu_seconds_total", MetricType::kCounter, "CPU time used, user and system.");
  out.sample_number(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  out.metric("process_start_time_seconds", MetricType::kGauge, "When the process began, in seconds since 1970.");
  out.sample_number(started_at);
  out.metric("process_resident_memory_bytes", MetricType::kGauge, "Resident memory.");
  out.sample(resident_bytes());
  out.metric("process_open_fds", MetricType::kGauge, "Open file descriptors.");
  out.sample(open_descriptors());
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  out.metric("process_max_fds", MetricType::kGauge, "Most file descriptors that may be open.");
  out.sample(static_cast<std::int64_t>(limit.rlim_cur));
}

}  // namespace rt::ops
