#include "services/database/slots.h"

#include <boost/asio/awaitable.hpp>

namespace rt::database {

postgres::Task<Slots::Taken> Slots::take() {
  if (free_ > 0) {
    --free_;
    co_return Taken(*this);
  }
  postgres::Event turn(io_);
  waiting_.push_back(&turn);
  co_await turn.wait_until(Time::max());
  co_return Taken(*this);
}

void Slots::give_back() {
  if (waiting_.empty()) {
    ++free_;
    return;
  }
  waiting_.front()->set();  // it has the slot from now on
  waiting_.pop_front();
}

}  // namespace rt::database
