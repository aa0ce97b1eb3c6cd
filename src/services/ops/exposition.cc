#include "services/ops/exposition.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace rt::ops {
namespace {

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
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

void Exposition::metric(std::string_view name, MetricType type, std::string_view help) {
  name_ = name;
  type_ = type;
  help_ = help;
  has_begun_ = false;
}

void Exposition::begin() {
  if (std::exchange(has_begun_, true)) return;
  text_.append("# HELP ").append(name_).append(" ").append(help_).append("\n# TYPE ").append(name_);
  text_.append(type_ == MetricType::kCounter ? " counter\n" : " gauge\n");
}

void Exposition::series(std::vector<Label> labels) {
  begin();
  labels.insert(labels.end(), global_labels_.begin(), global_labels_.end());
  std::ranges::sort(labels, {}, &Label::name);
  text_ += name_;
  char separator = '{';
  for (const Label& label : labels) {
    text_ += separator;
    separator = ',';
    text_.append(label.name).append("=\"");
    append_escaped(text_, label.value);
    text_ += '"';
  }
  if (!labels.empty()) text_ += '}';
  text_ += ' ';
}

void Exposition::sample(std::int64_t value, std::vector<Label> labels) {
  series(std::move(labels));
  text_ += std::to_string(value) + '\n';
}

void Exposition::sample_seconds(double value) {
  series({});
  char text[32];
  std::snprintf(text, sizeof text, "%.3f\n", value);
  text_ += text;
}

std::string Exposition::finish() && {
  text_ += "# EOF\n";
  return std::move(text_);
}

void write_process_metrics(Exposition& out) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  out.metric("process_cpu_seconds_total", MetricType::kCounter, "CPU time used, user and system.");
  out.sample_seconds(seconds(usage.ru_utime) + seconds(usage.ru_stime));
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
