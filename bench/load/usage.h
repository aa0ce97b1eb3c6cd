// What a process has used and what it holds, as the kernel counts it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace rt::load {

// CPU time of all threads, or of those whose name begins like that, user and system, in nanoseconds
// (/proc/PID/task/*/schedstat). The ticks in /proc/PID/stat
// are too coarse for runs of a second. A running thread's last slice is not in it yet, so this waits until the process
// is idle and the sum stands still.
Result<std::uint64_t> settled_cpu_ns(pid_t pid, std::string_view threads = {});

// Resident bytes (/proc/PID/smaps_rollup, which is exact), once they stand still.
Result<std::uint64_t> settled_rss_bytes(pid_t pid);

// The most that was ever resident (VmHWM in /proc/PID/status).
Result<std::uint64_t> peak_rss_bytes(pid_t pid);

}  // namespace rt::load
