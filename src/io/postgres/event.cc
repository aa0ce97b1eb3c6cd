#include "io/postgres/event.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace rt::postgres {

struct Event::Timer {
  boost::asio::steady_timer steady;
};

Event::Event(boost::asio::io_context& io)
    : timer_(std::make_unique<Timer>(Timer{boost::asio::steady_timer(io, Time::max())})) {}

Event::~Event() = default;

void Event::set() {
  is_set_ = true;
  timer_->steady.cancel();
}

Task<bool> Event::wait_until(Time deadline) {
  if (!is_set_) {
    timer_->steady.expires_at(deadline);
    co_await timer_->steady.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  co_return is_set_;
}

}  // namespace rt::postgres
