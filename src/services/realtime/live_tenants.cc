#include "services/realtime/live_tenants.h"

namespace rt::realtime {

LiveTenant::~LiveTenant() {
  for (const auto& usage : usages_) delete usage.load();
}

TenantUsage& LiveTenant::begin_usage(std::atomic<TenantUsage*>& usage) {
  auto begun = std::make_unique<TenantUsage>();
  usage.store(begun.get(), std::memory_order_release);
  return *begun.release();
}

std::shared_ptr<LiveTenant> LiveTenants::of_host(std::string_view host) {
  if (auto tenant = of_name(host.substr(0, host.find('.')))) return tenant;
  return default_tenant_.empty() ? nullptr : of_name(default_tenant_);
}

std::shared_ptr<LiveTenant> LiveTenants::of_name(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = tenants_.find(std::string(external_id)); found != tenants_.end()) return found->second;
  const auto record = find_(external_id);
  if (!record) return nullptr;
  auto tenant = std::make_shared<LiveTenant>(record, workers_, clock_.now());
  tenants_.emplace(std::string(external_id), tenant);
  return tenant;
}

std::shared_ptr<LiveTenant> LiveTenants::to_change(std::string_view external_id, Presence presence) {
  const std::lock_guard lock(mutex_);
  const auto found = tenants_.find(std::string(external_id));
  if (found == tenants_.end()) return nullptr;
  auto tenant = found->second;
  if (presence == Presence::kIsGone) tenants_.erase(found);
  return tenant;
}

std::shared_ptr<LiveTenant> LiveTenants::known(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tenants_.find(std::string(external_id));
  return found == tenants_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const LiveTenant>> LiveTenants::all() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const LiveTenant>> out;
  out.reserve(tenants_.size());
  for (const auto& [name, tenant] : tenants_) out.push_back(tenant);
  return out;
}

std::int64_t LiveTenants::users_of(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tenants_.find(std::string(external_id));
  return found == tenants_.end() ? 0 : found->second->users();
}

std::size_t LiveTenants::forget_vacant(std::chrono::seconds vacant_for) {
  const Time latest = clock_.now() - vacant_for;
  const auto is_vacant = [latest](const LiveTenant& tenant) {
    return tenant.users() == 0 && tenant.vacant_since() <= latest;
  };
  std::vector<std::string> candidates;
  for (const auto& tenant : all()) {
    if (is_vacant(*tenant)) candidates.push_back(tenant->external_id);
  }
  std::size_t forgotten = 0;
  for (const std::string& name : candidates) {
    std::shared_ptr<LiveTenant> gone;  // destroyed behind the lock
    const std::lock_guard lock(mutex_);
    const auto found = tenants_.find(name);
    // Nobody else can come to hold it meanwhile: it is handed out under this lock.
    if (found == tenants_.end() || found->second.use_count() > 1 || !is_vacant(*found->second)) continue;
    gone = std::move(found->second);
    tenants_.erase(found);
    ++forgotten;
  }
  return forgotten;
}

}  // namespace rt::realtime
