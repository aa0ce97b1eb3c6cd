// Nothing is dropped in front of the workers: whoever reads a stream waits until they keep up.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "io/postgres/event.h"

namespace rt::database {

class WorkersRoom {  // loop-bound
 public:
  // As sinks have them; both thread-safe, and there for as long as this. `when_may_publish` calls what it is given
  // once, on any thread, or never, also when this is gone.
  using MayPublish = std::function<bool()>;
  using WhenMayPublish = std::function<void(std::function<void()>)>;

  WorkersRoom(boost::asio::io_context& io, const Clock& clock, const MayPublish& may_publish,
              const WhenMayPublish& when_may_publish);

  // Until there is some, or close(). Looks again after each `interval`, should nobody say so.
  postgres::Task<void> wait(std::chrono::milliseconds interval);
  void close();

 private:
  boost::asio::io_context& io_;
  const Clock& clock_;
  const MayPublish& may_publish_;
  const WhenMayPublish& when_may_publish_;
  bool is_closed_ = false;
  const std::shared_ptr<postgres::Event> told_;  // shared with who may tell it later
};

}  // namespace rt::database
