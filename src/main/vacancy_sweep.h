// Tenants that nobody has used for long are forgotten, and their series with them.
#pragma once

#include <chrono>

#include "base/counter.h"
#include "base/job_thread.h"
#include "base/log.h"
#include "services/realtime/live_tenants.h"

namespace boost::asio {
class io_context;
}

namespace rt::app {

inline constexpr std::chrono::seconds kVacantFor{600};

// Every `interval` while `io` runs, on the thread for jobs, which counts the sweeps. All of them outlive `io`.
void sweep_vacant_tenants(boost::asio::io_context& io, JobThread& jobs, realtime::LiveTenants& tenants, Log& log,
                          Counter& sweeps, std::chrono::milliseconds interval);

}  // namespace rt::app
