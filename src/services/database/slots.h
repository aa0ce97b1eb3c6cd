// How many may do something at a time; the others wait, in the order in which they came.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <deque>

#include "io/postgres/event.h"
#include "io/postgres/task.h"

namespace rt::database {

class Slots {  // loop-bound
 public:
  Slots(boost::asio::io_context& io, std::size_t slots) : io_(io), free_(slots) {}

  // Given back by the destructor. The slots outlive it.
  class Taken {
   public:
    explicit Taken(Slots& slots) : slots_(&slots) {}
    Taken(Taken&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
    Taken& operator=(Taken&&) = delete;
    ~Taken() {
      if (slots_ != nullptr) slots_->give_back();
    }

   private:
    Slots* slots_;
  };

  postgres::Task<Taken> take() {
    if (free_ > 0) {
      --free_;
      co_return Taken(*this);
    }
    postgres::Event turn(io_);
    waiting_.push_back(&turn);
    co_await turn.wait_until(Time::max());
    co_return Taken(*this);
  }

 private:
  void give_back() {
    if (waiting_.empty()) {
      ++free_;
      return;
    }
    waiting_.front()->set();  // it has the slot from now on
    waiting_.pop_front();
  }

  boost::asio::io_context& io_;
  std::size_t free_;
  std::deque<postgres::Event*> waiting_;
};

}  // namespace rt::database
