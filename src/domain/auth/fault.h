// How a step of the verification says that it failed.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/token.h"

namespace rt::auth {

inline tl::unexpected<TokenFault> fault(TokenFaultKind kind) { return tl::make_unexpected(TokenFault{kind, 0, {}}); }

inline tl::unexpected<TokenFault> expired(std::int64_t seconds_ago) {
  return tl::make_unexpected(TokenFault{TokenFaultKind::kExpired, seconds_ago, {}});
}

}  // namespace rt::auth
