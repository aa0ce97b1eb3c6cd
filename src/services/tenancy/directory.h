// The tenants of this node, found by the name that hosts select them with.
//
// A directory is loaded once from the control store and does not change; it may be read from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "io/store/store.h"
#include "model/tenant.h"

namespace rt::tenancy {

class Directory {
 public:
  static Result<std::unique_ptr<Directory>> load(store::ControlStore& store, const tenants::Encryption& encryption);

  // Null: there is no such tenant.
  std::shared_ptr<const TenantRecord> find(std::string_view external_id) const;
  std::vector<std::shared_ptr<const TenantRecord>> all() const;  // in the order of their names
  std::size_t size() const { return tenants_.size(); }
  // What is wrong with records, for the log: secrets that cannot be decrypted, keys that cannot be used.
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  Directory() = default;
  void decrypt(TenantRecord& record, const tenants::Encryption& encryption);
  void read_keys(TenantRecord& record);

  std::unordered_map<std::string_view, std::shared_ptr<const TenantRecord>> tenants_;  // keys are their external ids
  std::vector<std::string> complaints_;
};

}  // namespace rt::tenancy
