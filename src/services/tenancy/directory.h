// The tenants of this node, found by the name that hosts select them with, ready for use: secrets decrypted, keys read.
//
// It holds all tenants and feature flags of the control store; the registry keeps it up to date. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "domain/tenants/feature_flags.h"
#include "model/tenant.h"

namespace rt::tenancy {

class Directory {
 public:
  // What is wrong with a record, for the log: a secret that cannot be decrypted, keys that cannot be used.
  using Complain = std::function<void(const std::string&)>;

  // `encryption` must outlive it.
  Directory(const tenants::Encryption& encryption, Complain complain)
      : encryption_(encryption), complain_(std::move(complain)) {}

  // Null: there is no such tenant.
  std::shared_ptr<const TenantRecord> find(std::string_view external_id) const;
  std::vector<std::shared_ptr<const TenantRecord>> all() const;  // in the order of their names
  std::size_t size() const;

  static constexpr std::size_t kComplaintsMax = 4096;  // that are remembered, so that each is made once

  // A record as the store has it, in the form in which it is found from now on; put() makes it so.
  std::shared_ptr<const TenantRecord> made_ready(TenantRecord stored) const;
  void put(std::shared_ptr<const TenantRecord> tenant);
  void erase(std::string_view external_id);

  // Never null.
  std::shared_ptr<const tenants::FeatureFlags> flags() const;
  void set_flags(tenants::FeatureFlags flags);

 private:
  void decrypt(TenantRecord& record) const;
  void read_keys(TenantRecord& record) const;
  // Makes it the text of an object, without white space around it; `of` is what it is, for the complaint.
  void read_object(std::string& text, const std::string& of) const;

  const tenants::Encryption& encryption_;
  void complain_once(const std::string& text) const;

  const Complain complain_;
  mutable std::mutex complaints_mutex_;
  mutable std::unordered_set<std::string> complaints_;  // that were made
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string_view, std::shared_ptr<const TenantRecord>> tenants_;  // keys are their external ids
  std::shared_ptr<const tenants::FeatureFlags> flags_ = std::make_shared<const tenants::FeatureFlags>();
};

}  // namespace rt::tenancy
