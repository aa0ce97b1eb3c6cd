// Tenants that were asked for here: their record, how many users they have at the moment, and how much they do.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/byte_budget.h"
#include "base/clock.h"
#include "model/tenant.h"
#include "services/realtime/rate_meter.h"
#include "services/realtime/tenant_usage.h"

namespace rt::realtime {

class LiveTenant {
 public:
  // `now`: since when it has no user.
  LiveTenant(const std::shared_ptr<const TenantRecord>& tenant, std::size_t workers, Time now)
      : external_id(tenant->external_id),
        joins(workers),
        events(workers),
        presence(workers),
        changes(workers),
        requests(workers, tenants::RateCounter::kMinuteBySeconds),
        records_(workers, tenant),
        usages_(workers),
        vacant_since_(now) {}
  ~LiveTenant();
  LiveTenant(const LiveTenant&) = delete;
  LiveTenant& operator=(const LiveTenant&) = delete;

  // As the worker that asks knows it: a change reaches one after the other. Both on that worker's thread only.
  const TenantRecord& record(int worker) const { return *records_[static_cast<std::size_t>(worker)]; }
  void replace(int worker, std::shared_ptr<const TenantRecord> record) {
    records_[static_cast<std::size_t>(worker)] = std::move(record);
  }

  // That of a worker, on its thread only. It takes memory when it is first asked for.
  TenantUsage& usage(int worker) {
    auto& usage = usages_[static_cast<std::size_t>(worker)];
    TenantUsage* const there = usage.load(std::memory_order_relaxed);
    return there != nullptr ? *there : begin_usage(usage);
  }
  template <class Visit>  // from any thread: of each worker that has one
  void for_each_usage(Visit visit) const {
    for (const auto& usage : usages_) {
      if (const TenantUsage* there = usage.load(std::memory_order_acquire)) visit(*there);
    }
  }

  // Sockets that have joined once, on all workers. From any thread.
  std::int64_t users() const { return users_.load(); }
  void add_user() { users_.fetch_add(1); }
  void remove_user(Time now) {
    vacant_since_.store(now, std::memory_order_relaxed);  // counts only once there is no other
    users_.fetch_sub(1);
  }
  Time vacant_since() const { return vacant_since_.load(std::memory_order_relaxed); }

  // True, once, for the first who needs the tenant's database, until nobody has needed it for long. From any thread;
  // who needs it has been counted as a user before.
  bool begin_to_want_database() { return !database_is_wanted_.exchange(true); }
  void cease_to_want_database() { database_is_wanted_.store(false); }

  const std::string external_id;
  // Private messages that came by REST and wait until it is known whether they may be sent. Four of the largest
  // requests, and as much as may wait for the answers themselves.
  static constexpr std::size_t kRestWaitingBytesMax = std::size_t{64} << 20;

  std::atomic<std::int64_t> long_polls{0};  // sessions of that kind, on all workers
  ByteBudget rest_waiting{kRestWaitingBytesMax};
  RateMeter joins;
  RateMeter events;    // broadcasts taken from clients, and each of their deliveries
  RateMeter presence;  // states and changes of presence, and each delivery of those
  RateMeter changes;   // of rows: each delivery, once for each subscription that it is for
  RateMeter requests;  // of the REST API

 private:
  static TenantUsage& begin_usage(std::atomic<TenantUsage*>& usage);

  std::vector<std::shared_ptr<const TenantRecord>> records_;  // by worker
  std::vector<std::atomic<TenantUsage*>> usages_;             // by worker
  std::atomic<std::int64_t> users_{0};
  std::atomic<bool> database_is_wanted_{false};
  std::atomic<Time> vacant_since_;
};

// Thread-safe; asked once per handshake, and per request of a long-poll client.
class LiveTenants {
 public:
  // Null: there is no such tenant.
  using Find = std::function<std::shared_ptr<const TenantRecord>(std::string_view external_id)>;

  // `default_tenant` stands in for hosts that name no tenant; empty: nothing does. `clock` outlives the tenants.
  LiveTenants(Find find, std::string default_tenant, std::size_t workers, const Clock& clock)
      : find_(std::move(find)), default_tenant_(std::move(default_tenant)), workers_(workers), clock_(clock) {}

  std::vector<std::shared_ptr<const LiveTenant>> all();  // in no order

  // Of a tenant that may have no sockets here.
  std::int64_t users_of(std::string_view external_id);

  // Null: nobody asked for it, so nobody holds anything of it. A tenant that is gone is not found from now on.
  enum class Presence : std::uint8_t { kStays, kIsGone };
  std::shared_ptr<LiveTenant> to_change(std::string_view external_id, Presence presence);

  // Null: nobody asked for it, or it is gone.
  std::shared_ptr<LiveTenant> known(std::string_view external_id);

  // The tenant of a request's host (lower case, without port): its first label names it.
  std::shared_ptr<LiveTenant> of_host(std::string_view host);

  // Forgets tenants that have had no user for so long and that nobody holds: no socket, no rate that is still being
  // watched. Who asks for one of them later begins with counters at zero. Returns how many. Takes the lock for each of
  // them anew.
  std::size_t forget_vacant(std::chrono::seconds vacant_for);

 private:
  std::shared_ptr<LiveTenant> of_name(std::string_view external_id);

  const Find find_;
  const std::string default_tenant_;
  const std::size_t workers_;
  const Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<LiveTenant>> tenants_;  // only of tenants that exist
};

}  // namespace rt::realtime
