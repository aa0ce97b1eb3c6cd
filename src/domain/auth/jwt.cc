#include "domain/auth/jwt.h"

#include <optional>

#include "base/base64.h"
#include "base/percent.h"
#include "domain/auth/claim_rules.h"
#include "domain/auth/fault.h"
#include "domain/auth/hmac.h"
#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace rt::auth {
namespace {

constexpr std::size_t kTokenBytesMax = 64 * 1024;

bool is_white_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The three parts of a token in compact form (RFC 7515 7.1), still in base64url.
struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // header and claims, with the dot between them
};

std::optional<Parts> split(std::string_view token) {
  const std::size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) return std::nullopt;
  return Parts{
      .header = token.substr(0, first),
      .claims = token.substr(first + 1, second - first - 1),
      .signature = token.substr(second + 1),
      .signed_text = token.substr(0, second),
  };
}

// A JSON document out of base64url; it owns its text.
std::optional<std::string> decode_json(std::string_view part) {
  const auto bytes = base64url_decode(part);
  if (!bytes) return std::nullopt;
  const auto document = json::walk_document(*bytes);
  if (!document) return std::nullopt;
  return std::string(document->text);
}

struct Key {
  HmacHash hash;
  std::string_view secret;
};

// RFC 7518 3.1. `none` is no algorithm to us, and an empty secret would let everybody sign.
std::optional<Key> choose_key(json::Value header, std::string_view secret) {
  const auto name = header.member("alg");
  const auto alg = name ? name->string() : std::nullopt;
  if (!alg || secret.empty()) return std::nullopt;
  if (alg == "HS256") return Key{HmacHash::kSha256, secret};
  if (alg == "HS384") return Key{HmacHash::kSha384, secret};
  if (alg == "HS512") return Key{HmacHash::kSha512, secret};
  return std::nullopt;
}

// Texts are compared, not bytes: otherwise the unused low bits of the last character would allow a token to have
// several spellings, all valid.
bool is_signed_with(const Key& key, const Parts& parts) {
  return equal_in_constant_time(base64url_encode(hmac(key.hash, key.secret, parts.signed_text)), parts.signature);
}

}  // namespace

Result<Claims, TokenFault> verify(std::string_view text, const VerificationRules& rules, UnixSeconds now) {
  if (text.size() > kTokenBytesMax) return fault(TokenFaultKind::kMalformed);
  auto token = percent_decode(text);
  if (!token) return fault(TokenFaultKind::kMalformedPercent);
  std::erase_if(*token, is_white_space);

  const auto parts = split(*token);
  if (!parts) return fault(TokenFaultKind::kMalformed);
  const auto claims = decode_json(parts->claims);
  if (!claims) return fault(TokenFaultKind::kMalformed);
  if (!json::Value(*claims).is_object()) return fault(TokenFaultKind::kOther);
  const auto header = decode_json(parts->header);
  if (!header || !json::Value(*header).is_object()) return fault(TokenFaultKind::kOther);

  const auto key = choose_key(json::Value(*header), rules.secret);
  if (!key) return fault(TokenFaultKind::kNoKey);
  if (!is_signed_with(*key, *parts)) return fault(TokenFaultKind::kBadSignature);
  return check_claims(json::Value(*claims), rules, now);
}

Result<void, TokenFault> confirm(const Claims& claims, UnixSeconds now) {
  if (claims.expires_at > now) return {};
  return expired(now - claims.expires_at);
}

std::string mint(std::string_view secret, std::string_view claims_json) {
  std::string token = base64url_encode(R"({"alg":"HS256","typ":"JWT"})");
  token += '.';
  token += base64url_encode(claims_json);
  const std::string signature = base64url_encode(hmac(HmacHash::kSha256, secret, token));
  token += '.';
  token += signature;
  return token;
}

}  // namespace rt::auth
