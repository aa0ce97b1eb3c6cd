#include "services/tenancy/directory.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "domain/auth/key_set.h"
#include "protocol/json/value.h"

namespace rt::tenancy {

std::shared_ptr<const TenantRecord> Directory::made_ready(TenantRecord stored) const {
  decrypt(stored);
  read_keys(stored);
  const std::string of_tenant = " of tenant " + stored.external_id;
  read_object(stored.feature_flags, "the feature flags" + of_tenant);
  for (TenantExtension& extension : stored.extensions)
    read_object(extension.settings, "the settings of " + extension.type + of_tenant);
  return std::make_shared<const TenantRecord>(std::move(stored));
}

// A tenant whose secret cannot be read may still have keys, and others have nothing to do with it.
void Directory::decrypt(TenantRecord& record) const {
  if (record.jwt_secret.empty()) return;
  auto plain = encryption_.decrypt(record.jwt_secret);
  record.jwt_secret.clear();
  if (plain) {
    record.jwt_secret = *std::move(plain);
  } else {
    complain_once("the jwt_secret of tenant " + record.external_id + ": " + plain.error().message);
  }
}

// A tenant whose keys are no good can still use its secret, so nothing here keeps it from being loaded.
void Directory::read_keys(TenantRecord& record) const {
  if (!record.jwt_jwks) return;
  const std::string prefix = "the JWKS of tenant " + record.external_id + ": ";
  auto keys = auth::KeySet::parse(*record.jwt_jwks);
  if (!keys) return complain_once(prefix + keys.error().message);
  for (const std::string& complaint : keys->complaints()) complain_once(prefix + complaint);
  record.keys = std::make_shared<const auth::KeySet>(std::move(*keys));
}

// They are taken apart later without being looked through again.
void Directory::read_object(std::string& text, const std::string& of) const {
  const auto document = json::walk_document(text);
  const bool is_object = document && json::Value(document->text).is_object();
  if (!is_object) complain_once(of + ": not a JSON object");
  text = is_object ? std::string(document->text) : "{}";
}

// Records are made ready again and again where a store does not tell whether they have changed.
void Directory::complain_once(const std::string& text) const {
  {
    const std::lock_guard lock(complaints_mutex_);
    if (complaints_.size() >= kComplaintsMax) complaints_.clear();
    if (!complaints_.insert(text).second) return;
  }
  complain_(text);
}

void Directory::put(std::shared_ptr<const TenantRecord> tenant) {
  const std::unique_lock lock(mutex_);
  // The key lives in the record, so both are replaced.
  const std::string_view name = tenant->external_id;
  tenants_.erase(name);
  tenants_.emplace(name, std::move(tenant));
}

void Directory::erase(std::string_view external_id) {
  const std::unique_lock lock(mutex_);
  tenants_.erase(external_id);
}

std::shared_ptr<const tenants::FeatureFlags> Directory::flags() const {
  const std::shared_lock lock(mutex_);
  return flags_;
}

void Directory::set_flags(tenants::FeatureFlags flags) {
  auto ready = std::make_shared<const tenants::FeatureFlags>(std::move(flags));
  const std::unique_lock lock(mutex_);
  flags_ = std::move(ready);
}

std::shared_ptr<const TenantRecord> Directory::find(std::string_view external_id) const {
  const std::shared_lock lock(mutex_);
  const auto found = tenants_.find(external_id);
  return found == tenants_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const TenantRecord>> Directory::all() const {
  std::vector<std::shared_ptr<const TenantRecord>> out;
  {
    const std::shared_lock lock(mutex_);
    out.reserve(tenants_.size());
    for (const auto& [name, tenant] : tenants_) out.push_back(tenant);
  }
  std::ranges::sort(out, {}, [](const auto& tenant) -> const std::string& { return tenant->external_id; });
  return out;
}

std::size_t Directory::size() const {
  const std::shared_lock lock(mutex_);
  return tenants_.size();
}

}  // namespace rt::tenancy
