#include "services/realtime/live_tenants.h"

namespace rt::realtime {

std::shared_ptr<LiveTenant> LiveTenants::of_host(std::string_view host) {
  if (auto tenant = of_name(host.substr(0, host.find('.')))) return tenant;
  return default_tenant_.empty() ? nullptr : of_name(default_tenant_);
}

std::shared_ptr<LiveTenant> LiveTenants::of_name(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = tenants_.find(std::string(external_id)); found != tenants_.end()) return found->second;
  auto record = find_(external_id);
  if (!record) return nullptr;
  auto tenant = std::make_shared<LiveTenant>(std::move(record), workers_);
  tenants_.emplace(std::string(external_id), tenant);
  return tenant;
}

std::int64_t LiveTenants::users_of(std::string_view external_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tenants_.find(std::string(external_id));
  return found == tenants_.end() ? 0 : found->second->users.load();
}

}  // namespace rt::realtime
