// A child process that never outlives us: it is killed by the destructor, and by the kernel should we die.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"

namespace rt::load {

using Cores = std::vector<int>;

Result<void> pin_this_process(const Cores& cores);

class Child {
 public:
  // `body` runs in the child, on these cores; where it returns, the child ends.
  static Result<std::unique_ptr<Child>> fork(const Cores& cores, const std::function<void()>& body);

  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  bool has_ended();
  bool has_succeeded() const { return reaped_ && status_ == 0; }

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  const pid_t pid_;
  bool reaped_ = false;
  int status_ = 0;  // as waitpid() tells it
};

}  // namespace rt::load
