#include "services/database/workers_room.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace rt::database {

WorkersRoom::WorkersRoom(boost::asio::io_context& io, const Clock& clock, const MayPublish& may_publish,
                         const WhenMayPublish& when_may_publish)
    : io_(io),
      clock_(clock),
      may_publish_(may_publish),
      when_may_publish_(when_may_publish),
      told_(std::make_shared<postgres::Event>(io)) {}

postgres::Task<void> WorkersRoom::wait(std::chrono::milliseconds interval) {
  while (!is_closed_ && !may_publish_()) {
    told_->clear();
    when_may_publish_([told = std::weak_ptr(told_), &io = io_] {
      boost::asio::post(io, [told] {
        if (const auto there = told.lock()) there->set();
      });
    });
    co_await told_->wait_until(clock_.now() + interval);
  }
}

void WorkersRoom::close() {
  is_closed_ = true;
  told_->set();
}

}  // namespace rt::database
