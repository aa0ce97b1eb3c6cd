// Lines of the log that say how many connections each tenant has, for who bills by them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "base/job_thread.h"
#include "base/log.h"
#include "model/tenant.h"
#include "services/realtime/live_tenants.h"

namespace boost::asio {
class io_context;
}

namespace rt::app {

// Null: there is no such tenant. Thread-safe.
using FindRecord = std::function<std::shared_ptr<const TenantRecord>(std::string_view external_id)>;

// A line for each tenant that has any, every `interval` while `io` runs, on the thread for jobs. All of them outlive
// `io`. Tenants have their turns one after the other: lines of all of them at once would push others out of the log.
void log_connections(boost::asio::io_context& io, JobThread& jobs, realtime::LiveTenants& tenants, FindRecord find,
                     Log& log, std::chrono::milliseconds interval);

}  // namespace rt::app
