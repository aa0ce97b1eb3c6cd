// What the claims of a token must say, once its signature is known to be good: times, validators, required claims.
#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "domain/auth/jwt.h"
#include "model/token.h"
#include "protocol/json/value.h"

namespace rt::auth {

// `claims` is an object. The checks run in the order of protocol.md 1.6, so the first fault is the one clients know.
Result<Claims, TokenFault> check_claims(json::Value claims, const VerificationRules& rules, UnixSeconds now);

}  // namespace rt::auth
