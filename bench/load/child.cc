#include "load/child.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "load/interrupt.h"

namespace rt::load {
namespace {

constexpr int kExitCannotRun = 127;

[[noreturn]] void run_child(pid_t parent, const Cores& cores, const std::function<void()>& body) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kExitCannotRun);  // it died before we asked to be told
  let_interrupts_through();
  if (const auto pinned = pin_this_process(cores); !pinned) {
    std::fprintf(stderr, "%s\n", pinned.error().message.c_str());
    _exit(kExitCannotRun);
  }
  body();
  _exit(kExitCannotRun);
}

}  // namespace

Result<void> pin_this_process(const Cores& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string names;
  for (const int core : cores) {
    CPU_SET(static_cast<std::size_t>(core), &set);
    names += " " + std::to_string(core);
  }
  if (sched_setaffinity(0, sizeof(set), &set) != 0)
    return fail("cannot run on core" + names + ": " + std::strerror(errno));
  return {};
}

Result<std::unique_ptr<Child>> Child::fork(const Cores& cores, const std::function<void()>& body) {
  const pid_t parent = getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail(std::string("cannot fork: ") + std::strerror(errno));
  if (pid == 0) run_child(parent, cores, body);
  return std::unique_ptr<Child>(new Child(pid));
}

Child::~Child() {
  if (reaped_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Child::has_ended() {
  if (!reaped_) reaped_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return reaped_;
}

}  // namespace rt::load
