// The check of operators' tokens: `Authorization: Bearer <jwt>`, HS256 by the family's own secret, no claims needed.
#pragma once

#include <string_view>
#include <vector>

#include "domain/auth/jwt.h"
#include "protocol/http/request.h"

namespace rt::ops {

bool has_operator_token(const http::Request& request, std::string_view secret,
                        const std::vector<auth::ClaimValidator>& validators, UnixSeconds now);

}  // namespace rt::ops
