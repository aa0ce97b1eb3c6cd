// Key sets, and the choice of a key from them. An input is the header of a token, a line break, and a JWKS. The token
// is signed by HMAC with the tenant's secret, so whatever the set says, only HMAC may ever verify it.
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "base/base64.h"
#include "base/check.h"
#include "domain/auth/hmac.h"
#include "domain/auth/jwt.h"
#include "domain/auth/key_set.h"
#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace {

using rt::auth::Algorithm;
using rt::auth::KeySet;
using rt::auth::KeyType;
using rt::auth::NamedKey;

constexpr std::string_view kSecret = "the secret of the fuzzer";
constexpr std::string_view kClaims = R"({"role":"r","exp":1800000060})";
constexpr rt::UnixSeconds kNow = 1'800'000'000;
constexpr KeyType kTypes[] = {KeyType::kOct, KeyType::kRsa, KeyType::kEc, KeyType::kOkp};
constexpr std::string_view kAlgorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",   "RS512",
                                            "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"};
constexpr std::size_t kSignatureBytes[] = {0, 64, 96, 114, 132, 256, 1024};

std::string signed_by_hmac(std::string_view header) {
  const std::string text = rt::base64url_encode(header) + "." + rt::base64url_encode(kClaims);
  return text + "." + rt::base64url_encode(rt::auth::hmac(rt::auth::HmacHash::kSha256, kSecret, text));
}

// A set may hold an Edwards point of small order, which anybody can sign for, but a modulus or a point of NIST's curves
// that takes a signature of zeros is not to be found.
void try_signatures(const rt::auth::PublicKey& key, Algorithm algorithm) {
  for (const std::size_t size : kSignatureBytes) {
    const bool good = key.verify(algorithm, "text", std::string(size, '\0'));
    RT_CHECK(!good || rt::auth::key_type(algorithm) == KeyType::kOkp);
  }
}

void check_key(const NamedKey& key) {
  const auto* const secret = std::get_if<std::string>(&key.material);
  const auto* const public_key = std::get_if<rt::auth::PublicKey>(&key.material);
  RT_CHECK(secret == nullptr || (key.type == KeyType::kOct && !secret->empty()));
  RT_CHECK(public_key == nullptr || key.type != KeyType::kOct);
  for (const std::string_view name : kAlgorithms) {
    const Algorithm algorithm = *rt::auth::parse_algorithm(name);
    if (!rt::auth::serves(key, algorithm)) continue;
    RT_CHECK(rt::auth::key_type(algorithm) == key.type);
    if (public_key != nullptr) try_signatures(*public_key, algorithm);
  }
}

// A few, or a set of a hundred keys would take the time of a thousand inputs.
void check_keys(const KeySet& keys, rt::json::Value json) {
  RT_CHECK(keys.size() <= rt::auth::kKeysMax);
  RT_CHECK(keys.complaints().size() <= keys.size() + 1);
  const auto list = json.member("keys");
  RT_CHECK(list);
  int left = 8;
  for (rt::json::Elements each(*list); const auto entry = each.next();) {
    const auto kid = entry->member("kid");
    const auto text = kid ? kid->string() : std::nullopt;
    if (!text || left-- == 0) continue;
    for (const KeyType type : kTypes) {
      const NamedKey* const found = keys.find(type, *text);
      if (found == nullptr) continue;
      RT_CHECK(found->kid == *text && found->type == type);
      check_key(*found);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view header = input.substr(0, line);
  const std::string_view json = input.substr(line + 1);
  const auto keys = KeySet::parse(json);
  const auto document = rt::json::walk_document(json);
  RT_CHECK(!keys || document);
  if (!keys) return 0;
  check_keys(*keys, rt::json::Value(document->text));

  for (const std::string_view secret : {kSecret, std::string_view()}) {
    const auto claims = rt::auth::verify(signed_by_hmac(header), {.secret = secret, .keys = &*keys}, kNow);
    if (!claims) continue;
    const auto alg = rt::json::Value(rt::json::walk_document(header)->text).member("alg");
    RT_CHECK(alg && alg->string() == "HS256");
  }
  return 0;
}
