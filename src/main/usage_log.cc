#include "main/usage_log.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <utility>

namespace rt::app {
namespace {

constexpr std::chrono::milliseconds kTurn{100};
constexpr std::int64_t kTurnsMax = 100;

class UsageLog : public std::enable_shared_from_this<UsageLog> {
 public:
  UsageLog(boost::asio::io_context& io, JobThread& jobs, realtime::LiveTenants& tenants, FindRecord find, Log& log,
           std::chrono::milliseconds interval)
      : jobs_(jobs),
        tenants_(tenants),
        find_(std::move(find)),
        log_(log),
        turns_(static_cast<std::size_t>(std::clamp<std::int64_t>(interval / kTurn, 1, kTurnsMax))),
        pause_(std::max(std::chrono::milliseconds(1), interval / static_cast<std::int64_t>(turns_))),
        timer_(io) {}

  void wait() {
    timer_.expires_after(pause_);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (error) return;
      // Too many jobs: the next time.
      self->jobs_.post([self, turn = self->turn_] { self->log_turn(turn); });
      self->turn_ = (self->turn_ + 1) % self->turns_;
      self->wait();
    });
  }

 private:
  void log_turn(std::size_t turn) const {
    if (!log_.enabled(LogLevel::kInfo)) return;
    for (const auto& tenant : tenants_.all()) {
      const std::int64_t users = tenant->users();
      if (users == 0 || std::hash<std::string>()(tenant->external_id) % turns_ != turn) continue;
      const auto record = find_(tenant->external_id);
      if (!record) continue;
      const std::string count = std::to_string(users);
      const std::string measured = R"({"connected":)" + count + R"(,"connected_cluster":)" + count + R"(,"limit":)" +
                                   std::to_string(record->limits.concurrent_users_max) + "}";
      log_.write(LogLevel::kInfo, {.tenant = tenant->external_id, .measurements = measured},
                 "Billing metrics: [:realtime, :connections]");
    }
  }

  JobThread& jobs_;
  realtime::LiveTenants& tenants_;
  const FindRecord find_;
  Log& log_;
  const std::size_t turns_;  // in an interval
  const std::chrono::milliseconds pause_;
  std::size_t turn_ = 0;
  boost::asio::steady_timer timer_;
};

}  // namespace

void log_connections(boost::asio::io_context& io, JobThread& jobs, realtime::LiveTenants& tenants, FindRecord find,
                     Log& log, std::chrono::milliseconds interval) {
  std::make_shared<UsageLog>(io, jobs, tenants, std::move(find), log, interval)->wait();
}

}  // namespace rt::app
