// The check of operators' tokens: `Authorization: Bearer <jwt>`, HMAC by a secret of their own, no claims needed.
#pragma once

#include <string>
#include <vector>

#include "domain/auth/jwt.h"
#include "protocol/http/request.h"

namespace rt::ops {

struct OperatorTokens {
  std::vector<std::string> secrets;    // any of them
  std::vector<std::string> blocklist;  // refused, however good
};

bool has_operator_token(const http::Request& request, const OperatorTokens& tokens,
                        const std::vector<auth::ClaimValidator>& validators, UnixSeconds now);

}  // namespace rt::ops
