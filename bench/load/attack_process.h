// An attack in a process of its own, which gives way to ours: what is measured here must not wait for the attackers'
// own work.
#pragma once

#include <memory>

#include "base/result.h"
#include "load/attack.h"
#include "load/child.h"

namespace rt::load {

class AttackProcess {
 public:
  static Result<std::unique_ptr<AttackProcess>> start(const AttackKind& kind, const Target& target, const Cores& cores);
  ~AttackProcess();
  AttackProcess(const AttackProcess&) = delete;
  AttackProcess& operator=(const AttackProcess&) = delete;

  bool is_in_position() const;
  std::uint64_t deeds() const;
  Result<void> check_alive();  // the error is its last word

 private:
  struct Shared;

  explicit AttackProcess(Shared* shared) : shared_(shared) {}

  Shared* const shared_;  // between the two processes
  std::unique_ptr<Child> child_;
};

}  // namespace rt::load
