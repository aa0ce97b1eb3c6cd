// JSON Web Tokens (RFC 7519, RFC 7515) as clients present them.
//
// A token is verified in a fixed order (text, claims, header, key, signature, times, required claims), and the first
// step that fails names the fault, because clients are told which one it was. A token's `alg` and `kid` choose among
// the keys of the tenant, each of which verifies only what it was made for (key_set.h). HS256, HS384 and HS512 fall
// back to the tenant's secret; everything else needs a JWK.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/token.h"

namespace rt::auth {

class KeySet;

// A claim that, where present, must have this value (setting JWT_CLAIM_VALIDATORS).
struct ClaimValidator {
  std::string claim;
  std::string expected_json;  // one JSON value as source text
};

struct VerificationRules {
  std::string_view secret;                                  // empty: there is none
  const KeySet* keys = nullptr;                             // null: there is no JWKS
  const std::vector<ClaimValidator>* validators = nullptr;  // may be null
  const std::vector<std::string>* blocklist = nullptr;      // tokens that are refused, however good; may be null
  bool requires_role_and_exp = true;                        // tokens of operators need neither
};

// `text` as the client sent it: it is percent-decoded once and white space is removed. Thread-safe.
Result<Claims, TokenFault> verify(std::string_view text, const VerificationRules& rules, UnixSeconds now);

// For a token that was verified before: only the times are looked at again.
Result<void, TokenFault> confirm(const Claims& claims, UnixSeconds now);

// A token signed with HS256. `claims_json` is a JSON object.
std::string mint(std::string_view secret, std::string_view claims_json);

}  // namespace rt::auth
