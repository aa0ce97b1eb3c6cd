// Tenants that were asked for here: their record, how many users they have at the moment, and how much they do.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/tenant.h"
#include "services/realtime/rate_meter.h"

namespace rt::realtime {

struct LiveTenant {
  LiveTenant(const std::shared_ptr<const TenantRecord>& tenant, std::size_t workers)
      : records(workers, tenant),
        joins(workers),
        events(workers),
        requests(workers, tenants::RateCounter::kMinuteBySeconds) {}

  // As the worker that asks knows it: a change reaches one after the other. Both on that worker's thread only.
  const TenantRecord& record(int worker) const { return *records[static_cast<std::size_t>(worker)]; }
  void replace(int worker, std::shared_ptr<const TenantRecord> record) {
    records[static_cast<std::size_t>(worker)] = std::move(record);
  }

  std::vector<std::shared_ptr<const TenantRecord>> records;  // by worker
  std::atomic<std::int64_t> users{0};                        // sockets that have joined once, on all workers
  std::atomic<std::int64_t> long_polls{0};                   // sessions of that kind, on all workers
  RateMeter joins;
  RateMeter events;    // broadcasts taken from clients, and each of their deliveries
  RateMeter requests;  // of the REST API
};

// Thread-safe; asked once per handshake, and per request of a long-poll client.
class LiveTenants {
 public:
  // Null: there is no such tenant.
  using Find = std::function<std::shared_ptr<const TenantRecord>(std::string_view external_id)>;

  // `default_tenant` stands in for hosts that name no tenant; empty: nothing does.
  LiveTenants(Find find, std::string default_tenant, std::size_t workers)
      : find_(std::move(find)), default_tenant_(std::move(default_tenant)), workers_(workers) {}

  struct Named {
    std::string external_id;
    std::shared_ptr<const LiveTenant> tenant;
  };
  std::vector<Named> all();  // in no order

  // Of a tenant that may have no sockets here.
  std::int64_t users_of(std::string_view external_id);

  // Null: nobody asked for it, so nobody holds anything of it. A tenant that is gone is not found from now on.
  enum class Presence : std::uint8_t { kStays, kIsGone };
  std::shared_ptr<LiveTenant> to_change(std::string_view external_id, Presence presence);

  // The tenant of a request's host (lower case, without port): its first label names it.
  std::shared_ptr<LiveTenant> of_host(std::string_view host);

 private:
  std::shared_ptr<LiveTenant> of_name(std::string_view external_id);

  const Find find_;
  const std::string default_tenant_;
  const std::size_t workers_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<LiveTenant>> tenants_;  // only of tenants that exist
};

}  // namespace rt::realtime
