#include "main/vacancy_sweep.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

namespace rt::app {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kSlowSweep{5};  // is worth a warning

void sweep(realtime::LiveTenants& tenants, Log& log, Counter& sweeps) {
  const auto began = steady_clock::now();
  const std::size_t forgotten = tenants.forget_vacant(kVacantFor);
  if (forgotten > 0) log.info("forgot the metrics of " + std::to_string(forgotten) + " tenants without users");
  const auto took = std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - began);
  if (took > kSlowSweep) log.warning("looking for tenants without users took " + std::to_string(took.count()) + " s");
  sweeps.add();
}

}  // namespace

void sweep_vacant_tenants(boost::asio::io_context& io, JobThread& jobs, realtime::LiveTenants& tenants, Log& log,
                          Counter& sweeps, std::chrono::milliseconds interval) {
  const auto timer = std::make_shared<boost::asio::steady_timer>(io, interval);
  timer->async_wait([timer, &io, &jobs, &tenants, &log, &sweeps, interval](const boost::system::error_code& error) {
    if (error) return;
    jobs.post([&tenants, &log, &sweeps] { sweep(tenants, log, sweeps); });  // too many jobs: the next time
    sweep_vacant_tenants(io, jobs, tenants, log, sweeps, interval);
  });
}

}  // namespace rt::app
