// The least that it can cost to read the rows of the write-ahead log: a process that has a slot of its own, lets libpq
// hand it each message and lets go of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "load/child.h"

namespace rt::load {

class LogReader {
 public:
  // Returns when it will see whatever is committed from now on. The publication is one of the database.
  static Result<std::unique_ptr<LogReader>> start(const Cores& cores, const std::string& connection_string,
                                                  const std::string& publication);
  ~LogReader();
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  pid_t pid() const { return child_->pid(); }
  // Returns when it has read so many rows since it was started.
  Result<void> wait_for(std::uint64_t rows);

 private:
  struct Shared;  // with the process

  LogReader();
  Result<void> wait_until(bool (*is_so)(const Shared&, std::uint64_t), std::uint64_t rows, const char* what);

  Shared* const shared_;
  std::unique_ptr<Child> child_;
};

}  // namespace rt::load
