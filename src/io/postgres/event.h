// Something that a coroutine waits for. One waits at a time.
#pragma once

#include <memory>

#include "base/clock.h"
#include "io/postgres/task.h"

namespace rt::postgres {

class Event {  // loop-bound
 public:
  explicit Event(boost::asio::io_context& io);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void set();
  // For the next wait.
  void clear() { is_set_ = false; }
  bool is_set() const { return is_set_; }

  // False: the deadline came first. The event must outlive the wait.
  Task<bool> wait_until(Time deadline);

 private:
  struct Timer;  // Asio's

  std::unique_ptr<Timer> timer_;
  bool is_set_ = false;
};

}  // namespace rt::postgres
