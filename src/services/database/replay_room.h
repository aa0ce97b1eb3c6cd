// The memory that replayed messages may have on their way to their clients, those of all tenants together.
//
// It is taken before the messages are read, for as many as may come, and given back when the worker of the client is
// done with them.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace rt::database {

class ReplayRoom : public std::enable_shared_from_this<ReplayRoom> {  // thread-safe
 public:
  explicit ReplayRoom(std::size_t bytes) : free_(bytes) {}

  // Given back by the destructor, on any thread, be the databases there or not.
  class Taken {
   public:
    Taken(std::shared_ptr<ReplayRoom> room, std::size_t bytes) : room_(std::move(room)), bytes_(bytes) {}
    ~Taken() { room_->free_.fetch_add(bytes_); }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;

    // Gives back what was taken beyond it.
    void shrink_to(std::size_t bytes) {
      if (bytes < bytes_) room_->free_.fetch_add(std::exchange(bytes_, bytes) - bytes);
    }

   private:
    const std::shared_ptr<ReplayRoom> room_;
    std::size_t bytes_;
  };

  // Null: so much is not free now.
  std::shared_ptr<Taken> take(std::size_t bytes) {
    std::size_t free = free_.load();
    do {
      if (free < bytes) return nullptr;
    } while (!free_.compare_exchange_weak(free, free - bytes));
    return std::make_shared<Taken>(shared_from_this(), bytes);
  }

 private:
  std::atomic<std::size_t> free_;
};

}  // namespace rt::database
