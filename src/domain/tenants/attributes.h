// What an operator may set of a tenant, `{"tenant": {...}}` of http-api.md 7.2, and what that means for a record.
//
// Attributes that are not given stay as they are; unknown ones are ignored, and the name, which is the path's. Faults
// are worded as the API has them and told for all attributes at once.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "model/tenant.h"
#include "protocol/json/value.h"

namespace rt::tenants {

// A JSON object: field → list of messages, as it stands behind `errors` in the answer.
struct AttributeFaults {
  std::vector<std::pair<std::string, std::string>> of_fields;
  std::vector<std::string> of_extensions;  // JSON objects, one for each extension given; `{}`: it has none
  bool are_none() const;
  std::string json() const;
};

enum class Incomplete : std::uint8_t {
  kRefuse,  // an extension without a type or settings is a fault
  kSkip,    // it is left out
};

// What was supplied, whether it differs or not.
struct Supplied {
  bool jwt_secret = false;
  bool extensions = false;
};

class Attributes {
 public:
  // `encryption` and `random` make what is secret fit for the store; both must outlive it, as must the text of
  // `object`.
  Attributes(json::Value object, const Encryption& encryption, Random& random)
      : object_(object), encryption_(encryption), random_(random) {}

  // The name that a new tenant would get; nullopt where it is blank or no string.
  static std::optional<std::string> external_id(json::Value object);

  // As if it were to become a new tenant that has nothing yet.
  AttributeFaults faults_of_new() const;

  // Changes `record`, which is as the store has it: its jwt_secret is encrypted. Where there are faults, it is left in
  // an undefined state.
  Result<Supplied, AttributeFaults> apply(TenantRecord& record, Incomplete incomplete) const;

 private:
  class Reader;

  json::Value object_;
  const Encryption& encryption_;
  Random& random_;
};

// What a change of a record has to set off (tenants.md 7).
struct Effects {
  bool keys = false;         // tokens have to be verified anew
  bool disconnects = false;  // all sockets of the tenant
  bool event_rate = false;   // the limit of a rate: its counter begins anew
  bool join_rate = false;
  bool presence_rate = false;
  bool database = false;  // what is connected to its database is not what it should be
  bool any = false;       // something differs at all
  Effects& operator|=(const Effects& other);
};

// Both records as the store has them, or both made ready for use. Settings that only lie in another format of
// encryption are the same.
Effects effects_of(const TenantRecord& before, const TenantRecord& after, const Supplied& supplied,
                   const Encryption& encryption);

// Nothing but white space.
bool is_blank(std::string_view text);

// For names: external ids and the types of extensions.
inline constexpr std::size_t kNameBytesMax = 255;

}  // namespace rt::tenants
