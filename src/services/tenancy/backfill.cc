#include "services/tenancy/backfill.h"

#include <algorithm>
#include <utility>

namespace rt::tenancy {

bool Backfill::is_due(const TenantRecord& stored) const {
  return encryption_.writes_current() && !stored.gcm_migrated && !unreadable_.contains(stored.external_id) &&
         tenants::has_legacy(stored);
}

void Backfill::add(const std::string& external_id) {
  if (listed_.insert(external_id).second) waiting_.push_back(external_id);
}

std::optional<std::string> Backfill::do_next() {
  std::string name = std::move(waiting_.front());
  waiting_.pop_front();
  listed_.erase(name);
  const auto stored = store_.find_tenant(name);
  if (!stored) return std::nullopt;
  if (!*stored) return name;
  bool is_complete = true;
  for (const auto& value : tenants::reencrypted(**stored, encryption_, random_))
    is_complete = renew(name, value) == Outcome::kDone && is_complete;
  if (!is_complete) return name;
  if (const auto marked = store_.mark_gcm_migrated(name); !marked) return std::nullopt;
  log_.write(LogLevel::kInfo, {.tenant = name}, "the secrets of the tenant lie in the current format now");
  return name;
}

Backfill::Outcome Backfill::renew(const std::string& external_id, const tenants::Reencryption& value) {
  if (!value.after) {
    if (unreadable_.size() >= kUnreadableMax) unreadable_.clear();
    unreadable_.insert(external_id);
    return failed(external_id, value, value.after.error().message);
  }
  const store::ControlStore::Swap swap{.before = value.before, .after = *value.after};
  const auto swapped = value.extension.empty() ? store_.swap_secret(external_id, swap)
                                               : store_.swap_settings(external_id, value.extension, swap);
  if (!swapped) return failed(external_id, value, swapped.error().message);
  return *swapped ? Outcome::kDone : explain(external_id, value);
}

// Somebody was faster: another node with the same in mind, or one who knows better.
Backfill::Outcome Backfill::explain(const std::string& external_id, const tenants::Reencryption& value) {
  const auto found = store_.find_tenant(external_id);
  if (!found) return failed(external_id, value, found.error().message);
  if (!*found) return failed(external_id, value, "tenant_not_found");
  const auto now = tenants::reencrypted(**found, encryption_, random_);
  const bool is_legacy = std::ranges::find(now, value.field, &tenants::Reencryption::field) != now.end();
  const bool is_there =
      value.extension.empty() ||
      std::ranges::find((*found)->extensions, value.extension, &TenantExtension::type) != (*found)->extensions.end();
  if (!is_there) return failed(external_id, value, "extension_not_found");
  if (!is_legacy) return Outcome::kDone;
  return failed(external_id, value, value.extension.empty() ? "jwt_secret_changed" : "settings_changed");
}

Backfill::Outcome Backfill::failed(const std::string& external_id, const tenants::Reencryption& value,
                                   std::string_view why) {
  log_.write(LogLevel::kError, {.tenant = external_id, .error_code = "EncryptionReconcileFailed"},
             "EncryptionReconcileFailed: field=" + value.field + " " + std::string(why));
  return Outcome::kFailed;
}

}  // namespace rt::tenancy
