// The least that a fan-out can cost: a process that owns as many connections as the server and does nothing but send()
// the same bytes to each of them.
//
// It speaks no protocol. What it sends are frames that the server once sent, so that the clients do the same work.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "load/child.h"
#include "load/client_loop.h"

namespace rt::load {

class BaselineProcess {
 public:
  // It accepts so many connections, one after the other.
  static Result<std::unique_ptr<BaselineProcess>> start(const Cores& cores, std::size_t connections,
                                                        std::string_view bytes_per_send);
  ~BaselineProcess();
  BaselineProcess(const BaselineProcess&) = delete;
  BaselineProcess& operator=(const BaselineProcess&) = delete;

  pid_t pid() const { return child_->pid(); }
  std::uint16_t port() const { return port_; }
  Result<void> send_to_all();  // starts one loop over all connections

 private:
  BaselineProcess(std::unique_ptr<Child> child, int control, std::uint16_t port);

  const std::unique_ptr<Child> child_;
  const int control_;
  const std::uint16_t port_;
};

}  // namespace rt::load
