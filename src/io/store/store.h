// The control store: which tenants there are. One interface; the back ends are SQLite, embedded (sqlite_store.h), and
// Postgres (postgres_store.h).
//
// Calls block. They are made by one thread at a time: before the workers start, then by the registry's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/tenant.h"

namespace rt::store {

// Whether a tenant's extensions are left as they are in the store, or become those of the record.
enum class Extensions : std::uint8_t { kKeep, kReplace };

struct Write {
  TenantRecord record;
  Extensions extensions;
};

class ControlStore {
 public:
  // What to write of a tenant, given what it is (nullopt: it is not there); nullopt: nothing.
  using Change = std::function<std::optional<Write>(const std::optional<TenantRecord>& current)>;

  virtual ~ControlStore() = default;

  virtual Result<std::vector<TenantRecord>> load_tenants() = 0;
  virtual Result<std::optional<TenantRecord>> find_tenant(std::string_view external_id) = 0;
  // Reads the tenant, asks what to make of it and writes that, while nobody else changes it. Gives what it is then. The
  // id and inserted_at of a tenant that is there stay, whatever the record says. `change` may be asked again.
  virtual Result<std::optional<TenantRecord>> change_tenant(const std::string& external_id, const Change& change) = 0;
  // Makes the tenant this record, whatever it was.
  Result<void> put_tenant(const TenantRecord& record, Extensions extensions) {
    const auto changed = change_tenant(record.external_id, [&](const auto&) { return Write{record, extensions}; });
    if (!changed) return tl::make_unexpected(changed.error());
    return {};
  }
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
