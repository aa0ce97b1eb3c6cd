// How many may do something at a time; the others wait, in the order in which they came.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

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

  postgres::Task<Taken> take();

 private:
  void give_back();

  boost::asio::io_context& io_;
  std::size_t free_;
  std::deque<postgres::Event*> waiting_;
};

}  // namespace rt::database
