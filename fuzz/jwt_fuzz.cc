// JWT verification. The first byte of an input says what its rest is: a whole token, the claims of a well-signed one,
// or the header of one. A fuzzer cannot guess a signature, so only this way it reaches what lies behind the signature
// check.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/base64.h"
#include "base/check.h"
#include "domain/auth/hmac.h"
#include "domain/auth/jwt.h"
#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace {

using rt::TokenFaultKind;

constexpr std::string_view kSecret = "the secret of the fuzzer";
constexpr std::string_view kHeader = R"({"alg":"HS256"})";
constexpr std::string_view kClaims = R"({"role":"r","exp":1800000060})";
constexpr rt::UnixSeconds kNow = 1'800'000'000;

auto verify(std::string_view token, const std::vector<rt::auth::ClaimValidator>* validators = nullptr) {
  return rt::auth::verify(token, {.secret = kSecret, .validators = validators}, kNow);
}

std::string sign(std::string_view header, std::string_view claims) {
  const std::string text = rt::base64url_encode(header) + "." + rt::base64url_encode(claims);
  return text + "." + rt::base64url_encode(rt::auth::hmac(rt::auth::HmacHash::kSha256, kSecret, text));
}

bool is_object(std::string_view text) {
  const auto document = rt::json::walk_document(text);
  return document && document->type == rt::json::Type::kObject;
}

void check_claims(const rt::Claims& claims) {
  RT_CHECK(is_object(claims.json));
  RT_CHECK(claims.expires_at >= kNow);  // equal: its decimals were in the future
  RT_CHECK(rt::auth::confirm(claims, kNow - 1));
  RT_CHECK(!rt::auth::confirm(claims, claims.expires_at));
}

// Nobody but us knows the secret, so a foreign text verifies only if it is one of our own tokens.
void try_token(std::string_view text) {
  const auto claims = verify(text);
  if (claims) RT_CHECK(claims->json == kClaims);
}

void try_claims(std::string_view json) {
  const std::string token = sign(kHeader, json);
  const auto claims = verify(token);
  if (claims) {
    check_claims(*claims);
  } else if (token.size() <= 64 * 1024) {
    const TokenFaultKind kind = claims.error().kind;
    RT_CHECK(kind != TokenFaultKind::kNoKey && kind != TokenFaultKind::kBadSignature);
    RT_CHECK((kind == TokenFaultKind::kMalformed) == !rt::json::walk_document(json));
    RT_CHECK(kind != TokenFaultKind::kExpired || claims.error().expired_for_seconds >= 0);
  }
  if (!is_object(json)) return;
  // A claim that must be what it is changes nothing.
  std::vector<rt::auth::ClaimValidator> validators;
  const rt::json::Value object(rt::json::walk_document(json)->text);
  if (const auto value = object.member("x")) validators.push_back({"x", std::string(value->text())});
  RT_CHECK(verify(token, &validators).has_value() == claims.has_value());
}

void try_header(std::string_view json) {
  const auto claims = verify(sign(json, kClaims));
  if (!claims) return;
  const auto document = rt::json::walk_document(json);
  RT_CHECK(document);
  RT_CHECK(rt::json::Value(document->text).member("alg")->string() == "HS256");
}

// A good token with one byte changed.
void try_tampered(std::string_view where_and_what) {
  if (where_and_what.size() < 2) return;
  std::string token = sign(kHeader, kClaims);
  char& byte = token[static_cast<unsigned char>(where_and_what[0]) % token.size()];
  if (byte == where_and_what[1]) return;
  byte = where_and_what[1];
  RT_CHECK(!verify(token));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'c':
      try_claims(rest);
      break;
    case 'h':
      try_header(rest);
      break;
    case 'x':
      try_tampered(rest);
      break;
    default:
      try_token(rest);
  }
  return 0;
}
