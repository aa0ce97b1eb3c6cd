#include "domain/auth/jwt.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/base64.h"
#include "base/percent.h"
#include "domain/auth/algorithm.h"
#include "domain/auth/claim_rules.h"
#include "domain/auth/fault.h"
#include "domain/auth/hmac.h"
#include "domain/auth/key_set.h"
#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace rt::auth {
namespace {

constexpr std::size_t kTokenBytesMax = 64 * 1024;

bool is_white_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool is_blocked(std::string_view token, const std::vector<std::string>* blocklist) {
  return blocklist != nullptr && std::ranges::find(*blocklist, token) != blocklist->end();
}

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

HmacHash hash_of(Algorithm algorithm) {
  if (algorithm == Algorithm::kHs256) return HmacHash::kSha256;
  if (algorithm == Algorithm::kHs384) return HmacHash::kSha384;
  return HmacHash::kSha512;
}

// What the signature is checked with: a secret for HS*, a public key for the others.
struct Key {
  Algorithm algorithm;
  std::variant<std::string_view, const PublicKey*> material;
};

Key key_of(const NamedKey& key, Algorithm algorithm) {
  if (const auto* const secret = std::get_if<std::string>(&key.material)) return {algorithm, std::string_view(*secret)};
  return {algorithm, &std::get<PublicKey>(key.material)};
}

tl::unexpected<TokenFault> no_key_for(std::string kid) {
  return tl::make_unexpected(TokenFault{TokenFaultKind::kNoKeyForKid, 0, std::move(kid)});
}

std::optional<std::string> text_of(json::Value header, std::string_view name) {
  const auto value = header.member(name);
  return value ? value->string() : std::nullopt;
}

// The table of protocol.md 1.6. An empty secret would let everybody sign.
Result<Key, TokenFault> choose_key(json::Value header, const VerificationRules& rules) {
  const auto algorithm = parse_algorithm(text_of(header, "alg").value_or(""));
  if (!algorithm) return fault(TokenFaultKind::kNoKey);
  const KeyType type = key_type(*algorithm);
  auto kid = text_of(header, "kid");
  const bool can_look_up = kid && rules.keys != nullptr;
  if (const NamedKey* const named = can_look_up ? rules.keys->find(type, *kid) : nullptr) {
    if (!serves(*named, *algorithm)) return no_key_for(std::move(*kid));
    return key_of(*named, *algorithm);
  }
  if (type == KeyType::kOct && !rules.secret.empty()) return Key{*algorithm, rules.secret};
  if (type != KeyType::kOct && can_look_up) return no_key_for(std::move(*kid));
  return fault(TokenFaultKind::kNoKey);
}

// Texts are compared, not bytes: otherwise the unused low bits of the last character would allow a token to have
// several spellings, all valid.
bool is_signed_with(const Key& key, const Parts& parts) {
  if (const auto* const secret = std::get_if<std::string_view>(&key.material)) {
    const std::string expected = base64url_encode(hmac(hash_of(key.algorithm), *secret, parts.signed_text));
    return equal_in_constant_time(expected, parts.signature);
  }
  const auto signature = base64url_decode(parts.signature);
  if (!signature || base64url_encode(*signature) != parts.signature) return false;
  return std::get<const PublicKey*>(key.material)->verify(key.algorithm, parts.signed_text, *signature);
}

}  // namespace

Result<Claims, TokenFault> verify(std::string_view text, const VerificationRules& rules, UnixSeconds now) {
  if (text.size() > kTokenBytesMax) return fault(TokenFaultKind::kMalformed);
  auto token = percent_decode(text);
  if (!token) return fault(TokenFaultKind::kMalformedPercent);
  std::erase_if(*token, is_white_space);
  if (is_blocked(*token, rules.blocklist)) return fault(TokenFaultKind::kOther);

  const auto parts = split(*token);
  if (!parts) return fault(TokenFaultKind::kMalformed);
  const auto claims = decode_json(parts->claims);
  if (!claims) return fault(TokenFaultKind::kMalformed);
  if (!json::Value(*claims).is_object()) return fault(TokenFaultKind::kOther);
  const auto header = decode_json(parts->header);
  if (!header || !json::Value(*header).is_object()) return fault(TokenFaultKind::kOther);

  const auto key = choose_key(json::Value(*header), rules);
  if (!key) return tl::make_unexpected(key.error());
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
