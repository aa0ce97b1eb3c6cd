#include "model/token.h"

namespace rt {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

std::string describe(const TokenFault& fault) {
  switch (fault.kind) {
    case TokenFaultKind::kMalformed:
      return "The token provided is not a valid JWT";
    case TokenFaultKind::kNoKey:
      return "Failed to generate JWT signer, check your JWT secret or JWKS configuration";
    case TokenFaultKind::kNoKeyForKid:
      return "Failed to generate JWT signer for key ID (kid) " + quoted(fault.kid) +
             ", check your JWT secret or JWKS configuration";
    case TokenFaultKind::kBadSignature:
      return "Failed to validate JWT signature";
    case TokenFaultKind::kExpired:
      return "Token has expired " + std::to_string(fault.expired_for_seconds) + " seconds ago";
    case TokenFaultKind::kMissingClaims:
      return "Fields `role` and `exp` are required in JWT";
    case TokenFaultKind::kMalformedPercent:
      return "the token has a malformed percent sequence";
    case TokenFaultKind::kOther:
      break;
  }
  return "the token could not be verified";
}

}  // namespace rt
