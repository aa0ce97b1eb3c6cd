// The control store: which tenants and feature flags there are. It lies in SQLite, embedded (sqlite_store.h), or in
// Postgres (postgres_store.h).
//
// Calls block. They are made by one thread at a time: before the workers start, then by the registry's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/feature_flag.h"
#include "model/tenant.h"

namespace rt::store {

class Database;  // database.h

// Whether a tenant's extensions are left as they are in the store, or become those of the record.
enum class Extensions : std::uint8_t { kKeep, kReplace };

struct Write {
  TenantRecord record;
  Extensions extensions;
};

enum class Failure : std::uint8_t {
  kUnavailable,  // it cannot be reached or is busy, and may be well the next time
  kOfData,       // it is well, but does not take what it was given
  kRefused,      // it is there and refuses: somebody has to change a setting or a right
};

class ControlStore {
 public:
  // What to write of a tenant, given what it is (nullopt: it is not there); nullopt: nothing.
  using Change = std::function<std::optional<Write>(const std::optional<TenantRecord>& current)>;

  explicit ControlStore(std::unique_ptr<Database> database);
  ~ControlStore();
  ControlStore(const ControlStore&) = delete;
  ControlStore& operator=(const ControlStore&) = delete;

  // Before all else, until it succeeds: reaches the store and makes its tables where there are none; several nodes may
  // do that at once.
  Result<void> set_up();

  Result<std::vector<TenantRecord>> load_tenants();  // in the order of their names
  Result<std::optional<TenantRecord>> find_tenant(std::string_view external_id);
  // Reads the tenant, asks what to make of it and writes that, while nobody else changes it. Gives what it is then. The
  // id and inserted_at of a tenant that is there stay, whatever the record says. `change` may be asked again.
  Result<std::optional<TenantRecord>> change_tenant(const std::string& external_id, const Change& change);
  // Makes the tenant this record, whatever it was.
  Result<void> put_tenant(const TenantRecord& record, Extensions extensions);
  // With its extensions. False: there is none.
  Result<bool> delete_tenant(std::string_view external_id);

  // Put another value in the place of exactly this one. False: it is not that, or not there. Of a tenant's
  // `jwt_secret`, and of the settings of its extension of that type.
  struct Swap {
    std::string before;
    std::string after;
  };
  Result<bool> swap_secret(std::string_view external_id, const Swap& swap);
  Result<bool> swap_settings(std::string_view external_id, std::string_view type, const Swap& swap);
  // That none of its secrets is in the old format any more.
  Result<void> mark_gcm_migrated(std::string_view external_id);

  Result<std::vector<FeatureFlag>> load_flags();  // in the order of their names
  // Makes the flag of that name this one.
  Result<void> put_flag(const FeatureFlag& flag);
  Result<bool> delete_flag(std::string_view name);  // false: there is none

  // Whether anything may have been written by others since this was asked last.
  Result<bool> has_changed();
  // Whether other nodes write to it too.
  bool is_shared() const;
  // Of the call that failed last.
  Failure last_failure() const;
  // From any thread: calls under way, and those to come, fail soon.
  void interrupt();

 private:
  Result<std::vector<TenantRecord>> select_tenants(const std::optional<std::string>& external_id);
  Result<std::optional<TenantRecord>> select_tenant(const std::string& external_id);
  Result<void> write_tenant(const Write& write);

  const std::unique_ptr<Database> database_;
};

}  // namespace rt::store
