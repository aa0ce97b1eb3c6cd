// Something that one coroutine waits for, with a deadline. Only files of this folder include this.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/clock.h"
#include "io/postgres/task.h"

namespace rt::postgres {

class Event {  // loop-bound
 public:
  explicit Event(boost::asio::io_context& io) : timer_(io, Time::max()) {}

  void set() {
    is_set_ = true;
    timer_.cancel();
  }
  // For the next wait.
  void clear() { is_set_ = false; }
  bool is_set() const { return is_set_; }

  // False: the deadline came first. The event must outlive the wait.
  Task<bool> wait_until(Time deadline) {
    if (!is_set_) {
      timer_.expires_at(deadline);
      co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    co_return is_set_;
  }

 private:
  boost::asio::steady_timer timer_;
  bool is_set_ = false;
};

}  // namespace rt::postgres
