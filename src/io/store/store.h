// The control store: which tenants there are. One interface; the embedded back end is SQLite (sqlite_store.h).
//
// Calls block. They are made before the workers start, or from a thread that may wait.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/tenant.h"

namespace rt::store {

class ControlStore {
 public:
  virtual ~ControlStore() = default;

  virtual Result<std::vector<TenantRecord>> load_tenants() = 0;
  // Inserts the tenant, or updates the one of the same external_id: its id stays, everything else becomes as given.
  // Never deletes. `record.id` is used for a new tenant only.
  virtual Result<void> upsert_tenant(const TenantRecord& record) = 0;
};

}  // namespace rt::store
