#include "services/realtime/live_tenants.h"

namespace rt::realtime {

std::shared_ptr<LiveTenant> LiveTenants::of_host(std::string_view host) {
  if (auto tenant = of_name(host.substr(0, host.find('.')))) return tenant;
  return default_tenant_.empty() ? nullptr : of_name(default_tenant_);
}

std::shared_ptr<LiveTenant> LiveTenants::of_name(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = tenants_.find(std::string(external_id)); found != tenants_.end()) return found->second;
  const auto record = find_(external_id);
  if (!record) return nullptr;
  auto tenant = std::make_shared<LiveTenant>(record, workers_);
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

std::vector<LiveTenants::Named> LiveTenants::all() {
  const std::lock_guard lock(mutex_);
  std::vector<Named> out;
  out.reserve(tenants_.size());
  for (const auto& [name, tenant] : tenants_) out.push_back({name, tenant});
  return out;
}

std::int64_t LiveTenants::users_of(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tenants_.find(std::string(external_id));
  return found == tenants_.end() ? 0 : found->second->users.load();
}

}  // namespace rt::realtime
