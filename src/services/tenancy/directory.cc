#include "services/tenancy/directory.h"

#include <utility>

namespace rt::tenancy {

Result<std::unique_ptr<Directory>> Directory::load(store::ControlStore& store) {
  auto records = store.load_tenants();
  if (!records) return fail(records.error(), "loading the tenants");
  auto directory = std::unique_ptr<Directory>(new Directory());
  for (TenantRecord& record : *records) {
    auto tenant = std::make_shared<const TenantRecord>(std::move(record));
    const std::string_view name = tenant->external_id;
    directory->tenants_.emplace(name, std::move(tenant));
  }
  return directory;
}

std::shared_ptr<const TenantRecord> Directory::find(std::string_view external_id) const {
  const auto found = tenants_.find(external_id);
  return found == tenants_.end() ? nullptr : found->second;
}

}  // namespace rt::tenancy
