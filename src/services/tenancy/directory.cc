#include "services/tenancy/directory.h"

#include <algorithm>
#include <utility>

#include "domain/auth/key_set.h"

namespace rt::tenancy {

Result<std::unique_ptr<Directory>> Directory::load(store::ControlStore& store, const tenants::Encryption& encryption) {
  auto records = store.load_tenants();
  if (!records) return fail(records.error(), "loading the tenants");
  auto directory = std::unique_ptr<Directory>(new Directory());
  for (TenantRecord& record : *records) {
    directory->decrypt(record, encryption);
    directory->read_keys(record);
    auto tenant = std::make_shared<const TenantRecord>(std::move(record));
    const std::string_view name = tenant->external_id;
    directory->tenants_.emplace(name, std::move(tenant));
  }
  return directory;
}

// A tenant whose secret cannot be read may still have keys, and others have nothing to do with it.
void Directory::decrypt(TenantRecord& record, const tenants::Encryption& encryption) {
  if (record.jwt_secret.empty()) return;
  auto plain = encryption.decrypt(record.jwt_secret);
  record.jwt_secret.clear();
  if (plain) {
    record.jwt_secret = *std::move(plain);
  } else {
    complaints_.push_back("the jwt_secret of tenant " + record.external_id + ": " + plain.error().message);
  }
}

// A tenant whose keys are no good can still use its secret, so nothing here keeps it from being loaded.
void Directory::read_keys(TenantRecord& record) {
  if (!record.jwt_jwks) return;
  const std::string prefix = "the JWKS of tenant " + record.external_id + ": ";
  auto keys = auth::KeySet::parse(*record.jwt_jwks);
  if (!keys) {
    complaints_.push_back(prefix + keys.error().message);
    return;
  }
  for (const std::string& complaint : keys->complaints()) complaints_.push_back(prefix + complaint);
  record.keys = std::make_shared<const auth::KeySet>(std::move(*keys));
}

std::shared_ptr<const TenantRecord> Directory::find(std::string_view external_id) const {
  const auto found = tenants_.find(external_id);
  return found == tenants_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const TenantRecord>> Directory::all() const {
  std::vector<std::shared_ptr<const TenantRecord>> out;
  for (const auto& [name, tenant] : tenants_) out.push_back(tenant);
  std::ranges::sort(out, {}, [](const auto& tenant) -> const std::string& { return tenant->external_id; });
  return out;
}

}  // namespace rt::tenancy
