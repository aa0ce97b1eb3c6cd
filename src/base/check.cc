#include "base/check.h"

#include <execinfo.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace rt {

void check_failed(const char* condition, const char* file, int line) noexcept {
  char thread[16] = "?";
  pthread_getname_np(pthread_self(), thread, sizeof thread);
  std::fprintf(stderr, "check failed: %s at %s:%d in thread %s\n", condition, file, line, thread);
  std::fflush(stderr);
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  std::abort();
}

}  // namespace rt
