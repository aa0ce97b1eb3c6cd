#include "io/postgres/task_group.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>

#include "base/check.h"
#include "io/postgres/event.h"

namespace rt::postgres {

TaskGroup::~TaskGroup() { RT_CHECK(members_ == 0); }

void TaskGroup::spawn(Task<void> task) {
  boost::asio::co_spawn(io_, std::move(task),
                        [member = Member(*this)](const std::exception_ptr& error) { RT_CHECK(error == nullptr); });
}

Task<void> TaskGroup::drained() {
  Event empty(io_);
  if (members_ == 0) co_return;
  waiting_.push_back(&empty);
  co_await empty.wait_until(Time::max());
}

void TaskGroup::leave() {
  if (--members_ != 0) return;
  for (Event* const event : std::exchange(waiting_, {})) event->set();
}

}  // namespace rt::postgres
