// The coroutines that borrow an owner. It is destroyed only after they all have ended: Asio does not recall what is
// queued.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "io/postgres/task.h"

namespace rt::postgres {

class Event;

class TaskGroup {  // loop-bound
 public:
  explicit TaskGroup(boost::asio::io_context& io) : io_(io) {}
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // A coroutine that others have spawned is a member as long as it holds this.
  class Member {
   public:
    explicit Member(TaskGroup& group) : group_(&group) { ++group.members_; }
    Member(Member&& other) noexcept : group_(std::exchange(other.group_, nullptr)) {}
    Member& operator=(Member&&) = delete;
    ~Member() {
      if (group_ != nullptr) group_->leave();
    }

   private:
    TaskGroup* group_;
  };

  // Runs it from the next turn of the loop on. An exception that leaves it is our mistake.
  void spawn(Task<void> task);
  std::size_t size() const { return members_; }
  // Ends when nobody is left; the caller is no member.
  Task<void> drained();

 private:
  void leave();

  boost::asio::io_context& io_;
  std::size_t members_ = 0;
  std::vector<Event*> waiting_;
};

}  // namespace rt::postgres
