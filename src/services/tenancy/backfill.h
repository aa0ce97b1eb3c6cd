// Brings secrets that lie in the old format of encryption to the current one, a tenant at a time (tenants.md 3).
//
// Each value is put in the place of exactly the one that was read, so a secret that somebody else changes meanwhile
// stays what they made it. What went wrong for one value keeps nothing from the others; it is tried again when the
// tenant is read again. Used by the registry's thread.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/log.h"
#include "base/random.h"
#include "domain/tenants/encryption.h"
#include "domain/tenants/reencryption.h"
#include "io/store/store.h"

namespace rt::tenancy {

class Backfill {
 public:
  static constexpr std::string_view kFlag = "gcm_encryption_backfill";  // has to be on for a tenant
  static constexpr std::size_t kUnreadableMax = 4096;                   // tenants that are remembered, to be left alone

  // All references must outlive it.
  Backfill(store::ControlStore& store, const tenants::Encryption& encryption, Random& random, Log& log)
      : store_(store), encryption_(encryption), random_(random), log_(log) {}

  // Whether a record, as the store has it, has anything in the old format and we write the current one.
  bool is_due(const TenantRecord& stored) const;
  void add(const std::string& external_id);
  bool has_work() const { return !waiting_.empty(); }
  // Does the work for one tenant and names it: it is to be read again. nullopt: the store cannot be used.
  std::optional<std::string> do_next();
  // What could not be read of that tenant may be another thing now.
  void forget(const std::string& external_id) { unreadable_.erase(external_id); }

 private:
  enum class Outcome : std::uint8_t { kDone, kFailed };
  Outcome renew(const std::string& external_id, const tenants::Reencryption& value);
  Outcome explain(const std::string& external_id, const tenants::Reencryption& value);
  Outcome failed(const std::string& external_id, const tenants::Reencryption& value, std::string_view why);

  store::ControlStore& store_;
  const tenants::Encryption& encryption_;
  Random& random_;
  Log& log_;
  std::deque<std::string> waiting_;
  std::unordered_set<std::string> listed_;  // the same, to be found
  std::unordered_set<std::string> unreadable_;
};

}  // namespace rt::tenancy
