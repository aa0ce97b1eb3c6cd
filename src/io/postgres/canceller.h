// PQcancel blocks: it opens a connection of its own. So it has a thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/job_thread.h"

struct pg_cancel;

namespace rt::postgres {

class Canceller {  // thread-safe; outlives the connections that use it
 public:
  static constexpr std::size_t kWaitingMax = 64;

  Canceller() : thread_("pg_cancel", kWaitingMax) {}

  // Asks the server to cancel what it runs, then calls `done` on the thread of this. False: too many wait, and the
  // statement runs to its time-out.
  bool cancel(std::shared_ptr<pg_cancel> what, std::function<void()> done);
  std::uint64_t refused() const { return refused_; }

 private:
  std::atomic<std::uint64_t> refused_{0};
  JobThread thread_;
};

}  // namespace rt::postgres
