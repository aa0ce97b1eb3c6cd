#include "load/usage.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "load/interrupt.h"

namespace rt::load {
namespace {

using std::chrono::milliseconds;

std::string proc_folder(pid_t pid) { return "/proc/" + std::to_string(pid); }

Result<std::uint64_t> cpu_ns(pid_t pid, std::string_view threads) {
  std::error_code gone;
  std::uint64_t sum = 0;
  for (std::filesystem::directory_iterator task(proc_folder(pid) + "/task", gone), end; !gone && task != end;
       task.increment(gone)) {
    std::string name;
    std::getline(std::ifstream(task->path() / "comm"), name);
    if (!name.starts_with(threads)) continue;
    std::uint64_t ns = 0;
    std::ifstream(task->path() / "schedstat") >> ns;
    sum += ns;
  }
  if (gone) return fail("cannot read the CPU time of process " + std::to_string(pid) + ": " + gone.message());
  return sum;
}

// A line such as "Rss:   1234 kB".
Result<std::uint64_t> bytes_in(pid_t pid, const char* file_name, std::string_view label) {
  std::ifstream file(proc_folder(pid) + file_name);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(label)) return std::strtoull(line.c_str() + label.size(), nullptr, 10) * 1024;
  }
  return fail("cannot read the memory of process " + std::to_string(pid));
}

Result<std::uint64_t> rss_bytes(pid_t pid) { return bytes_in(pid, "/smaps_rollup", "Rss:"); }

// Reads until so many readings in a row are within `tolerance` of each other, and takes the last. A value that keeps
// moving is taken as it is in the end: timers of an idle server need a little CPU for ever.
struct Settling {
  milliseconds interval;
  int equal_readings;
  int readings_max;
  std::uint64_t tolerance;
};

template <class Read>
Result<std::uint64_t> settle(Read read, const Settling& rule) {
  Result<std::uint64_t> value = read();
  for (int equal = 1, readings = 1; value && equal < rule.equal_readings && readings < rule.readings_max; ++readings) {
    std::this_thread::sleep_for(rule.interval);
    if (const auto go_on = not_interrupted(); !go_on) return fail(go_on.error().message);
    const Result<std::uint64_t> next = read();
    if (!next) return next;
    const auto change = static_cast<std::int64_t>(*next - *value);
    equal = static_cast<std::uint64_t>(std::abs(change)) <= rule.tolerance ? equal + 1 : 1;
    value = next;
  }
  return value;
}

}  // namespace

Result<std::uint64_t> settled_cpu_ns(pid_t pid, std::string_view threads) {
  return settle([&] { return cpu_ns(pid, threads); },
                {.interval = milliseconds(2), .equal_readings = 2, .readings_max = 100, .tolerance = 0});
}

Result<std::uint64_t> settled_rss_bytes(pid_t pid) {
  return settle([&] { return rss_bytes(pid); },
                {.interval = milliseconds(100), .equal_readings = 4, .readings_max = 100, .tolerance = 32 * 1024});
}

Result<std::uint64_t> peak_rss_bytes(pid_t pid) { return bytes_in(pid, "/status", "VmHWM:"); }

}  // namespace rt::load
