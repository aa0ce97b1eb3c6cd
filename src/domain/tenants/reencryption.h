// Bringing the secrets of a tenant from the old format of encryption to the current one (tenants.md 3), and comparing
// records no matter in which format their secrets are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "model/tenant.h"

namespace rt::tenants {

// One value of the store that holds something in the old format.
struct Reencryption {
  std::string field;          // for the log: `jwt_secret` or `settings:` and the type of the extension
  std::string extension;      // that type; empty: it is the jwt_secret
  std::string before;         // as it is stored
  Result<std::string> after;  // as it should be; the error says why it cannot be read
};

// Of a record as the store has it: whether there is anything to do, and what. `encryption` has to write the current
// format.
bool has_legacy(const TenantRecord& stored);
std::vector<Reencryption> reencrypted(const TenantRecord& stored, const Encryption& encryption, Random& random);

// Whether both lists of extensions say the same once their secrets are decrypted.
bool are_same(const std::vector<TenantExtension>& a, const std::vector<TenantExtension>& b,
              const Encryption& encryption);

// Settings of an extension whose values lie encrypted.
bool is_encrypted_setting(std::string_view key);

}  // namespace rt::tenants
