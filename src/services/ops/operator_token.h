// The check of operators' tokens: `Authorization: Bearer <jwt>`, HMAC by a secret of their own, no claims needed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "domain/auth/jwt.h"
#include "protocol/http/request.h"

namespace rt::ops {

struct OperatorTokens {
  std::vector<std::string> secrets;    // any of them
  std::vector<std::string> blocklist;  // refused, however good
};

// What the token says; nullopt: there is none, or it is no good.
std::optional<Claims> operator_claims(const http::Request& request, const OperatorTokens& tokens,
                                      const std::vector<auth::ClaimValidator>& validators, UnixSeconds now);

// Where operators and one of the tenants share a secret, as in a usual self-hosted set-up, every token of that tenant's
// clients passes the check above. Those may look, as health probes do that have nothing else, but change nothing.
bool is_of_client(const Claims& claims);

}  // namespace rt::ops
