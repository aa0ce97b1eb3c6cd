// What a verified JWT says, and the ways in which one can be bad.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"

namespace rt {

// Claims of a token whose signature was verified.
struct Claims {
  std::string role;
  std::string subject;         // `sub` when it is a string, else empty
  UnixSeconds expires_at = 0;  // `exp`, rounded to the nearest integer
  std::string json;            // all claims, as the token spells them; policies will read them
};

// A verified token. Equal texts of one tenant share one of these on a worker.
struct Token {
  std::string text;
  Claims claims;
};
using TokenRef = std::shared_ptr<const Token>;

enum class TokenFaultKind {
  kMalformed,    // not three parts, or the claims are not JSON
  kNoKey,        // no key for its algorithm
  kNoKeyForKid,  // no key for its `kid`
  kBadSignature,
  kExpired,
  kMissingClaims,     // `role` or `exp`
  kOther,             // e.g. a non-numeric `exp`, a claim validator that does not match
  kMalformedPercent,  // the text has a broken percent sequence
};

struct TokenFault {
  TokenFaultKind kind = TokenFaultKind::kOther;
  std::int64_t expired_for_seconds = 0;  // kExpired
  std::string kid;                       // kNoKeyForKid
};

// `Token has expired 3 seconds ago`, `Fields ...`: the wording that replies, system frames and logs share.
// kOther and kMalformedPercent have none of their own and give a general sentence.
std::string describe(const TokenFault& fault);

}  // namespace rt
