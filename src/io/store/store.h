// The control store: which tenants there are. One interface; the back ends are SQLite, embedded (sqlite_store.h), and
// Postgres (postgres_store.h).
//
// Calls block. They are made by one thread at a time: before the workers start, then by the registry's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/tenant.h"

namespace rt::store {

// Whether a tenant's extensions are left as they are in the store, or become those of the record.
enum class Extensions : std::uint8_t { kKeep, kReplace };

class ControlStore {
 public:
  virtual ~ControlStore() = default;

  virtual Result<std::vector<TenantRecord>> load_tenants() = 0;
  virtual Result<std::optional<TenantRecord>> find_tenant(std::string_view external_id) = 0;
  // Inserts the tenant, or updates the one of the same external_id: its id and inserted_at stay, everything else
  // becomes as given. Never deletes. `record.id` is used for a new tenant only.
  virtual Result<void> put_tenant(const TenantRecord& record, Extensions extensions) = 0;
  // With its extensions. False: there is none.
  virtual Result<bool> delete_tenant(std::string_view external_id) = 0;
  // Whether anything may have been written by others since this was asked last.
  virtual Result<bool> has_changed() = 0;
  // Whether other nodes write to it too.
  virtual bool is_shared() const { return false; }
  // Of the call that failed last: the store is well, but does not take what it was given.
  virtual bool last_failure_is_of_data() const { return false; }
  // From any thread: calls under way, and those to come, fail soon.
  virtual void interrupt() {}
};

}  // namespace rt::store
