#include "domain/auth/key_set.h"

#include <doctest/doctest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/base64.h"
#include "domain/auth/hmac.h"
#include "domain/auth/jwt.h"

namespace rt::auth {
namespace {

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr std::string_view kSecret = "the secret of the tenant, which no key set holds";
constexpr std::string_view kClaims = R"({"role":"authenticated","exp":1800000060})";

struct Freer {
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <class T>
using Owned = std::unique_ptr<T, Freer>;

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string padded(const BIGNUM* number, std::size_t size) {
  std::string out(size, '\0');
  REQUIRE(BN_bn2binpad(number, bytes(out), static_cast<int>(size)) >= 0);
  return out;
}

// Somebody who signs: a private key, made when the test runs.
class Signer {
 public:
  Signer(std::string kty, std::string crv, EVP_PKEY* key) : kty_(std::move(kty)), crv_(std::move(crv)), key_(key) {
    REQUIRE(key != nullptr);
  }

  EVP_PKEY* key() const { return key_.get(); }

  // The public members of its JWK, without the braces.
  std::string jwk() const {
    if (kty_ == "RSA") return R"("kty":"RSA","n":")" + number("n") + R"(","e":")" + number("e") + '"';
    std::string out = R"("kty":")" + kty_ + R"(","crv":")" + crv_ + '"';
    if (kty_ == "OKP") return out + R"(,"x":")" + base64url_encode(raw_public_key()) + '"';
    return out + R"(,"x":")" + number(OSSL_PKEY_PARAM_EC_PUB_X) + R"(","y":")" + number(OSSL_PKEY_PARAM_EC_PUB_Y) + '"';
  }

  // A public number of the key in base64url, of full size where it is a coordinate.
  std::string number(const char* name) const {
    BIGNUM* raw = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(key(), name, &raw) == 1);
    const Owned<BIGNUM> value(raw);
    return base64url_encode(padded(raw, coordinate_bytes() != 0 ? coordinate_bytes() : BN_num_bytes(raw)));
  }

  // As OpenSSL gives it: for EC in ASN.1.
  std::string raw_signature(std::string_view text, const char* digest) const {
    const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
    REQUIRE(EVP_DigestSignInit_ex(context.get(), nullptr, kty_ == "OKP" ? nullptr : digest, nullptr, nullptr, key(),
                                  nullptr) == 1);
    std::size_t size = 0;
    REQUIRE(EVP_DigestSign(context.get(), nullptr, &size, bytes(text), text.size()) == 1);
    std::string signature(size, '\0');
    REQUIRE(EVP_DigestSign(context.get(), bytes(signature), &size, bytes(text), text.size()) == 1);
    signature.resize(size);
    return signature;
  }

  // As a token has it.
  std::string signature(std::string_view text, const char* digest) const {
    std::string raw = raw_signature(text, digest);
    if (kty_ != "EC") return raw;
    const unsigned char* at = bytes(std::string_view(raw));
    const Owned<ECDSA_SIG> both(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(raw.size())));
    return padded(ECDSA_SIG_get0_r(both.get()), coordinate_bytes()) +
           padded(ECDSA_SIG_get0_s(both.get()), coordinate_bytes());
  }

 private:
  std::size_t coordinate_bytes() const {
    return crv_ == "P-256" ? 32 : crv_ == "P-384" ? 48 : crv_ == "P-521" ? 66 : 0;
  }

  std::string raw_public_key() const {
    std::size_t size = 0;
    REQUIRE(EVP_PKEY_get_raw_public_key(key(), nullptr, &size) == 1);
    std::string out(size, '\0');
    REQUIRE(EVP_PKEY_get_raw_public_key(key(), bytes(out), &size) == 1);
    return out;
  }

  std::string kty_;
  std::string crv_;
  Owned<EVP_PKEY> key_;
};

Signer make_rsa(std::size_t bits) { return {"RSA", "", EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits)}; }
Signer make_ec(const char* curve) { return {"EC", curve, EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve)}; }

const Signer& rsa() {
  static const Signer signer = make_rsa(2048);
  return signer;
}
const Signer& p256() {
  static const Signer signer = make_ec("P-256");
  return signer;
}
const Signer& p384() {
  static const Signer signer = make_ec("P-384");
  return signer;
}
const Signer& p521() {
  static const Signer signer = make_ec("P-521");
  return signer;
}
const Signer& ed25519() {
  static const Signer signer("OKP", "Ed25519", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  return signer;
}
const Signer& ed448() {
  static const Signer signer("OKP", "Ed448", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448"));
  return signer;
}

constexpr std::string_view kOctSecret = "a secret in a key set";
std::string oct_jwk() { return R"("kty":"oct","k":")" + base64url_encode(kOctSecret) + '"'; }

// A set of keys, each given by the members of its JWK.
KeySet set_of(const std::vector<std::string>& keys) {
  std::string json;
  for (const std::string& key : keys) json += (json.empty() ? "{" : ",{") + key + "}";
  auto set = KeySet::parse(R"({"keys":[)" + json + "]}");
  REQUIRE(set);
  return std::move(*set);
}
KeySet set_of(const std::string& kid, const std::string& key) { return set_of({R"("kid":")" + kid + "\"," + key}); }

std::string header(std::string_view alg, std::string_view kid = "k") {
  return R"({"alg":")" + std::string(alg) + R"(","kid":")" + std::string(kid) + "\"}";
}

std::string unsigned_text(std::string_view header) {
  return base64url_encode(header) + "." + base64url_encode(kClaims);
}

// SHA-2 of the size that the name of an algorithm ends in.
const char* digest_of(std::string_view alg) {
  return alg.ends_with("384") ? "SHA384" : alg.ends_with("512") ? "SHA512" : "SHA256";
}
HmacHash hmac_of(std::string_view alg) {
  return alg.ends_with("384") ? HmacHash::kSha384 : alg.ends_with("512") ? HmacHash::kSha512 : HmacHash::kSha256;
}

std::string with_signature(const std::string& text, std::string_view signature) {
  return text + "." + base64url_encode(signature);
}

std::string token_by(const Signer& signer, std::string_view alg, std::string_view kid = "k") {
  const std::string text = unsigned_text(header(alg, kid));
  return with_signature(text, signer.signature(text, digest_of(alg)));
}

std::string hmac_token(std::string_view header, std::string_view secret, std::string_view alg = "HS256") {
  const std::string text = unsigned_text(header);
  return with_signature(text, hmac(hmac_of(alg), secret, text));
}

// nullopt: the token is good.
std::optional<TokenFaultKind> fault_of(std::string_view token, const KeySet& keys, std::string_view secret = kSecret) {
  const auto claims = verify(token, {.secret = secret, .keys = &keys}, kNow);
  return claims ? std::nullopt : std::optional(claims.error().kind);
}

constexpr auto kGood = std::nullopt;

struct KeyCase {
  const char* name;
  std::string jwk;
  const Signer* signer;  // null: HMAC
  KeyType type;
  std::vector<std::string_view> algorithms;
};

std::vector<KeyCase> every_key() {
  return {
      {"oct", oct_jwk(), nullptr, KeyType::kOct, {"HS256", "HS384", "HS512"}},
      {"RSA", rsa().jwk(), &rsa(), KeyType::kRsa, {"RS256", "RS384", "RS512"}},
      {"P-256", p256().jwk(), &p256(), KeyType::kEc, {"ES256"}},
      {"P-384", p384().jwk(), &p384(), KeyType::kEc, {"ES384"}},
      {"P-521", p521().jwk(), &p521(), KeyType::kEc, {"ES512"}},
      {"Ed25519", ed25519().jwk(), &ed25519(), KeyType::kOkp, {"EdDSA", "Ed25519"}},
      {"Ed448", ed448().jwk(), &ed448(), KeyType::kOkp, {"EdDSA", "Ed448"}},
  };
}

constexpr std::string_view kAlgorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",   "RS512",
                                            "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"};

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

TEST_CASE("every key verifies with its own algorithms and with no other") {
  for (const KeyCase& key : every_key()) {
    const KeySet keys = set_of("k", key.jwk);
    CHECK(keys.complaints().empty());
    for (const std::string_view alg : kAlgorithms) {
      CAPTURE(key.name);
      CAPTURE(alg);
      const std::string token =
          key.signer != nullptr ? token_by(*key.signer, alg) : hmac_token(header(alg), kOctSecret, alg);
      const auto fault = fault_of(token, keys);
      const bool is_hmac = alg.starts_with("HS");
      if (contains(key.algorithms, alg)) {
        CHECK(fault == kGood);
      } else if (is_hmac) {
        CHECK(fault == TokenFaultKind::kBadSignature);  // the secret of the tenant was asked
      } else {
        CHECK(fault == TokenFaultKind::kNoKeyForKid);
      }
    }
  }
}

TEST_CASE("a signature by another key of the same type, or with another hash, is bad") {
  const Signer other_rsa = make_rsa(2048);
  const Signer other_ec = make_ec("P-256");
  CHECK(fault_of(token_by(other_rsa, "RS256"), set_of("k", rsa().jwk())) == TokenFaultKind::kBadSignature);
  CHECK(fault_of(token_by(other_ec, "ES256"), set_of("k", p256().jwk())) == TokenFaultKind::kBadSignature);
  for (const char* digest : {"SHA384", "SHA512", "SHA1"}) {
    CAPTURE(digest);
    const std::string rs256 = unsigned_text(header("RS256"));
    CHECK(fault_of(with_signature(rs256, rsa().signature(rs256, digest)), set_of("k", rsa().jwk())) ==
          TokenFaultKind::kBadSignature);
    const std::string es256 = unsigned_text(header("ES256"));
    CHECK(fault_of(with_signature(es256, p256().signature(es256, digest)), set_of("k", p256().jwk())) ==
          TokenFaultKind::kBadSignature);
  }
}

std::string pem_of(const Signer& signer) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_PUBKEY(bio.get(), signer.key()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

std::string der_of(const Signer& signer) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(signer.key(), &der);
  REQUIRE(size > 0);
  std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

TEST_CASE("what is public about a key is no secret to sign with") {
  for (const Signer* signer : {&rsa(), &p256(), &ed25519()}) {
    const KeySet keys = set_of("k", signer->jwk());
    for (const std::string& secret : {pem_of(*signer), der_of(*signer), signer->jwk(), "{" + signer->jwk() + "}",
                                      std::string("k"), std::string()}) {
      for (const std::string_view alg : {"HS256", "HS384", "HS512"}) {
        CHECK(fault_of(hmac_token(header(alg), secret, alg), keys) == TokenFaultKind::kBadSignature);
        CHECK(fault_of(hmac_token(header(alg), secret, alg), keys, "") == TokenFaultKind::kNoKey);
      }
      CHECK(fault_of(hmac_token(header("RS256"), secret), keys) != kGood);
      CHECK(fault_of(hmac_token(header("ES256"), secret), keys) != kGood);
      CHECK(fault_of(hmac_token(header("EdDSA"), secret), keys) != kGood);
    }
  }
}

TEST_CASE("a token cannot bring its own key, or do without one") {
  const KeySet keys = set_of("k", p256().jwk());
  const Signer stranger = make_ec("P-256");
  const std::string text =
      unsigned_text(R"({"alg":"ES256","kid":"k","jku":"https://example.com/keys","jwk":{)" + stranger.jwk() + "}}");
  CHECK(fault_of(with_signature(text, stranger.signature(text, "SHA256")), keys) == TokenFaultKind::kBadSignature);
  for (const char* alg : {"none", "None", "", "PS256", "ES256K", "rs256", "EDDSA", "RSA", "A128KW", "dir"}) {
    CAPTURE(alg);
    CHECK(fault_of(unsigned_text(header(alg)) + ".", keys) == TokenFaultKind::kNoKey);
    CHECK(fault_of(token_by(p256(), alg), keys) == TokenFaultKind::kNoKey);
  }
}

TEST_CASE("a signature has exactly the form and size that its algorithm gives it") {
  const KeySet keys = set_of({R"("kid":"k",)" + p256().jwk(), R"("kid":"k",)" + rsa().jwk(),
                              R"("kid":"k",)" + ed25519().jwk(), R"("kid":"k2",)" + p521().jwk()});
  const std::pair<const Signer*, std::string> cases[] = {{&p256(), header("ES256")},
                                                         {&rsa(), header("RS256")},
                                                         {&ed25519(), header("EdDSA")},
                                                         {&p521(), header("ES512", "k2")}};
  for (const auto& [signer, head] : cases) {
    CAPTURE(head);
    const std::string text = unsigned_text(head);
    const std::string good = signer->signature(text, signer == &p521() ? "SHA512" : "SHA256");
    const std::string half = good.substr(0, good.size() / 2);
    CHECK(fault_of(with_signature(text, good), keys) == kGood);
    for (const std::string& bad :
         {std::string(), good.substr(1), good.substr(0, good.size() - 1), good + '\0', '\0' + good, half, good + good,
          std::string(good.size(), '\0'), std::string(good.size(), '\xff'), half + std::string(half.size(), '\0'),
          std::string(half.size(), '\0') + half}) {
      CHECK(fault_of(with_signature(text, bad), keys) == TokenFaultKind::kBadSignature);
    }
    for (std::size_t at = 0; at < good.size(); at += 7) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1);
      CHECK(fault_of(with_signature(text, bad), keys) == TokenFaultKind::kBadSignature);
    }
  }
  const std::string text = unsigned_text(header("ES256"));
  CHECK(fault_of(with_signature(text, p256().raw_signature(text, "SHA256")), keys) == TokenFaultKind::kBadSignature);
}

TEST_CASE("a signature has one spelling") {
  const KeySet keys = set_of("k", ed25519().jwk());
  const std::string token = token_by(ed25519(), "EdDSA");
  for (const char* tail : {"=", "==", "A", "AA", "AAAA", "."}) CHECK(fault_of(token + tail, keys) != kGood);
  for (int byte = 0; byte < 256; ++byte) {
    std::string other = token;
    other.back() = static_cast<char>(byte);
    if (other != token) CHECK(fault_of(other, keys) != kGood);
  }
}

TEST_CASE("a PSS signature is not taken for one of RS256") {
  const std::string text = unsigned_text(header("RS256"));
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* padding = nullptr;
  REQUIRE(EVP_DigestSignInit(context.get(), &padding, EVP_sha256(), nullptr, rsa().key()) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1);
  std::string signature(256, '\0');
  std::size_t size = signature.size();
  REQUIRE(EVP_DigestSign(context.get(), bytes(signature), &size, bytes(std::string_view(text)), text.size()) == 1);
  CHECK(fault_of(with_signature(text, signature), set_of("k", rsa().jwk())) == TokenFaultKind::kBadSignature);
}

TEST_CASE("the kid has to be the same text, and of keys that share one the first of the right type counts") {
  const Signer other = make_ec("P-256");
  const KeySet keys = set_of({R"("kid":"\u006b",)" + rsa().jwk(), R"("kid":"k",)" + p256().jwk(),
                              R"("kid":"k",)" + other.jwk(), R"("kid":"k",)" + oct_jwk(),
                              R"("kid":"","kty":"OKP","crv":"X25519","x":"AA")", R"("kid":"",)" + ed25519().jwk()});
  CHECK(keys.complaints().empty());
  CHECK(fault_of(token_by(rsa(), "RS256"), keys) == kGood);
  CHECK(fault_of(token_by(p256(), "ES256"), keys) == kGood);
  CHECK(fault_of(token_by(other, "ES256"), keys) == TokenFaultKind::kBadSignature);
  CHECK(fault_of(hmac_token(header("HS256"), kOctSecret), keys) == kGood);
  CHECK(fault_of(token_by(ed25519(), "EdDSA", ""), keys) == kGood);
  for (const char* kid : {"", "K", "k ", "kk"}) {
    CAPTURE(kid);
    CHECK(fault_of(token_by(rsa(), "RS256", kid), keys) == TokenFaultKind::kNoKeyForKid);
  }
}

TEST_CASE("the kid that has no key is told") {
  const KeySet keys = set_of("k", rsa().jwk());
  const auto claims = verify(token_by(rsa(), "RS256", R"(a\"\\\u00e9)"), {.secret = kSecret, .keys = &keys}, kNow);
  REQUIRE(!claims);
  CHECK(describe(claims.error()) ==
        "Failed to generate JWT signer for key ID (kid) \"a\\\"\\\\\xc3\xa9\", check your "
        "JWT secret or JWKS configuration");
}

TEST_CASE("asymmetric tokens need a kid and a key set") {
  const KeySet keys = set_of("k", rsa().jwk());
  const std::string token = token_by(rsa(), "RS256");
  CHECK(verify(token, {.secret = kSecret}, kNow).error().kind == TokenFaultKind::kNoKey);
  CHECK(fault_of(token, set_of(std::vector<std::string>{})) == TokenFaultKind::kNoKeyForKid);
  for (const char* head : {R"({"alg":"RS256"})", R"({"alg":"RS256","kid":null})", R"({"alg":"RS256","kid":7})",
                           R"({"alg":"RS256","kid":["k"]})"}) {
    CAPTURE(head);
    const std::string text = unsigned_text(head);
    CHECK(fault_of(with_signature(text, rsa().signature(text, "SHA256")), keys) == TokenFaultKind::kNoKey);
  }
}

TEST_CASE("HMAC tokens fall back to the secret where the set has no secret of their kid") {
  const KeySet keys = set_of({R"("kid":"k",)" + oct_jwk(), R"("kid":"r",)" + rsa().jwk(), R"("kid":"n","kty":"oct")",
                              R"("kid":"n","kty":"oct","k":7)"});
  for (const char* head : {R"({"alg":"HS256"})", R"({"alg":"HS256","kid":"other"})", R"({"alg":"HS256","kid":7})",
                           R"({"alg":"HS256","kid":"r"})", R"({"alg":"HS256","kid":"n"})"}) {
    CAPTURE(head);
    CHECK(fault_of(hmac_token(head, kSecret), keys) == kGood);
    CHECK(fault_of(hmac_token(head, kOctSecret), keys) == TokenFaultKind::kBadSignature);
    CHECK(fault_of(hmac_token(head, kSecret), keys, "") == TokenFaultKind::kNoKey);
    CHECK(fault_of(hmac_token(head, ""), keys, "") == TokenFaultKind::kNoKey);
  }
  CHECK(fault_of(hmac_token(header("HS256"), kSecret), keys) == TokenFaultKind::kBadSignature);
  CHECK(fault_of(hmac_token(header("HS256"), kOctSecret), keys, "") == kGood);
}

// What is wrong, and the members of a key that would otherwise be one of its kind.
TEST_CASE("a key that cannot be used keeps its place: its kid is refused by name") {
  const std::string bits_8193 = base64url_encode('\x01' + std::string(1024, '\xff'));
  const std::string bits_2047 = base64url_encode('\x7f' + std::string(255, '\xff'));
  const std::string even = base64url_encode(std::string(255, '\xff') + '\xfe');
  const std::string rsa_n = R"("kty":"RSA","n":")" + rsa().number("n") + '"';
  const std::string huge(100'000, 'A');
  const auto rsa_of = [](const std::string& n) { return R"("kty":"RSA","e":"AQAB","n":")" + n + '"'; };
  const auto ec_of = [](const char* crv, const std::string& x, const std::string& y) {
    return R"("kty":"EC","crv":")" + std::string(crv) + R"(","x":")" + x + R"(","y":")" + y + '"';
  };
  const std::string x = p256().number(OSSL_PKEY_PARAM_EC_PUB_X);
  const std::string y = p256().number(OSSL_PKEY_PARAM_EC_PUB_Y);
  const std::string short_of_256 = base64url_encode(std::string(31, 'a'));
  const struct {
    std::string alg;
    std::vector<std::string> keys;
  } cases[] = {
      {"RS256",
       {R"("kty":"RSA")",
        R"("kty":"RSA","n":7,"e":7)",
        R"("kty":"RSA","e":"AQAB")",
        rsa_n,
        rsa_of(""),
        rsa_of("!"),
        rsa_of("AQAB"),
        rsa_of(rsa().number("n") + "="),
        rsa_of(bits_2047),
        rsa_of(bits_8193),
        rsa_of(huge),
        rsa_of(even),
        make_rsa(1024).jwk(),
        rsa_n + R"(,"e":"")",
        rsa_n + R"(,"e":"AA")",
        rsa_n + R"(,"e":"AQ")",
        rsa_n + R"(,"e":"AAAB")",
        rsa_n + R"(,"e":"Ag")",
        rsa_n + R"(,"e":"AQAA")",
        rsa_n + R"(,"e":"AQAAAAAAAAAB")",
        rsa_n + R"(,"e":")" + rsa().number("n") + '"'}},
      {"ES256",
       {R"("kty":"EC")", R"("kty":"EC","crv":"P-256")", ec_of("P-256", x, ""), ec_of("P-256", "", y),
        ec_of("P-256", x, x), ec_of("P-256", y, x), ec_of("P-256", x, short_of_256), ec_of("P-256", "AA" + x, y),
        ec_of("P-256", x + "=", y), ec_of("P-384", x, y), ec_of("P-521", x, y), ec_of("p-256", x, y),
        ec_of("secp256k1", x, y), ec_of("Ed25519", x, y), ec_of("P-256", huge, y),
        ec_of("P-256", base64url_encode(std::string(32, '\0')), base64url_encode(std::string(32, '\0'))),
        ec_of("P-256", base64url_encode(std::string(32, '\xff')), y)}},
      {"EdDSA",
       {R"("kty":"OKP","crv":"Ed25519")", R"("kty":"OKP","crv":"Ed25519","x":")" + short_of_256 + '"',
        R"("kty":"OKP","crv":"Ed448","x":")" + x + '"', R"("kty":"OKP","crv":"Ed25519","x":")" + huge + '"'}},
      {"HS256",
       {R"("kty":"oct","k":"")", R"("kty":"oct","k":"!")", R"("kty":"oct","k":"AAAAA")", R"("kty":"oct","k":"AA==")",
        R"("kty":"oct","k":")" + huge + '"'}},
  };
  for (const auto& [alg, bad_keys] : cases) {
    for (const std::string& bad : bad_keys) {
      CAPTURE(bad);
      const KeySet keys = set_of({R"("kid":"k",)" + bad, R"("kid":"k",)" + rsa().jwk(), R"("kid":"k",)" + p256().jwk(),
                                  R"("kid":"k",)" + ed25519().jwk(), R"("kid":"k",)" + oct_jwk()});
      REQUIRE(keys.complaints().size() == 1);
      CHECK(keys.complaints().front().starts_with("the key \"k\" cannot be used: "));
      const Signer* const signer = alg == "RS256" ? &rsa() : alg == "ES256" ? &p256() : &ed25519();
      const std::string token = alg == "HS256" ? hmac_token(header(alg), kSecret) : token_by(*signer, alg);
      CHECK(fault_of(token, keys) == TokenFaultKind::kNoKeyForKid);
    }
  }
}

TEST_CASE("a key is used for what it says that it is for, and for nothing else") {
  const auto fault_with = [](const std::string& member, std::string_view alg = "RS256") {
    return fault_of(token_by(rsa(), alg), set_of("k", rsa().jwk() + "," + member));
  };
  for (const char* fine :
       {R"("use":"sig")", R"("use":null)", R"("key_ops":["verify"])", R"("key_ops":["sign","verify"])",
        R"("key_ops":null)", R"("alg":"RS256")", R"("alg":null)", R"("use":"sig","key_ops":["verify"],"alg":"RS256")",
        R"("d":"AQAB","p":"AQAB","ext":true,"x5c":["AA"])"}) {
    CAPTURE(fine);
    CHECK(fault_with(fine) == kGood);
  }
  for (const char* other :
       {R"("use":"enc")", R"("use":"")", R"("use":7)", R"("use":["sig"])", R"("key_ops":[])", R"("key_ops":["sign"])",
        R"("key_ops":["encrypt","wrapKey"])", R"("key_ops":"verify")", R"("key_ops":[["verify"]])", R"("alg":"RS384")",
        R"("alg":"HS256")", R"("alg":"ES256")", R"("alg":"EdDSA")", R"("alg":"PS256")", R"("alg":"RSA-OAEP")",
        R"("alg":"none")", R"("alg":"")", R"("alg":256)", R"("use":"sig","alg":"RS512")"}) {
    CAPTURE(other);
    CHECK(fault_with(other) == TokenFaultKind::kNoKeyForKid);
  }
  CHECK(fault_with(R"("alg":"RS512")", "RS512") == kGood);
}

TEST_CASE("a secret of a set has one algorithm where it names one") {
  const KeySet keys = set_of("k", oct_jwk() + R"(,"alg":"HS512")");
  CHECK(fault_of(hmac_token(header("HS512"), kOctSecret, "HS512"), keys) == kGood);
  CHECK(fault_of(hmac_token(header("HS256"), kOctSecret, "HS256"), keys) == TokenFaultKind::kNoKeyForKid);
  CHECK(fault_of(hmac_token(header("HS256"), kSecret, "HS256"), keys) == TokenFaultKind::kNoKeyForKid);
  const KeySet of_rsa = set_of("k", oct_jwk() + R"(,"alg":"RS256")");
  CHECK(fault_of(hmac_token(header("HS256"), kOctSecret), of_rsa) == TokenFaultKind::kNoKeyForKid);
}

TEST_CASE("an Edwards key goes by the old name of its algorithm and by the new one") {
  for (const char* named : {"EdDSA", "Ed25519"}) {
    const KeySet keys = set_of("k", ed25519().jwk() + R"(,"alg":")" + named + '"');
    CHECK(fault_of(token_by(ed25519(), "EdDSA"), keys) == kGood);
    CHECK(fault_of(token_by(ed25519(), "Ed25519"), keys) == kGood);
    CHECK(fault_of(token_by(ed25519(), "Ed448"), keys) == TokenFaultKind::kNoKeyForKid);
  }
  const KeySet keys = set_of("k", ed25519().jwk() + R"(,"alg":"Ed448")");
  CHECK(fault_of(token_by(ed25519(), "EdDSA"), keys) == TokenFaultKind::kNoKeyForKid);
}

TEST_CASE("what is no object with a list of keys is no key set") {
  for (const char* json : {"", "{", "[]", "null", "{}", R"({"keys":null})", R"({"keys":{}})", R"({"keys":"x"})",
                           R"([{"keys":[]}])", R"({"keys":[]} x)"}) {
    CAPTURE(json);
    CHECK(!KeySet::parse(json));
  }
}

TEST_CASE("entries that nobody can ask for do no harm") {
  const auto set = KeySet::parse(
      R"( {"more":1,"keys":[null,7,"x",[],{},{"kid":"k"},{"kty":"RSA"},{"kty":"rsa","kid":"k"},{"kty":7,"kid":"k"},)"
      R"({"kty":"oct","k":"AA"},{"kty":"OKP","kid":"k","crv":"X25519","x":"AA"},{"kty":"OKP","kid":"k"},)"
      R"({"kid":7,)" +
      rsa().jwk() + R"(},{"kid":"k",)" + rsa().jwk() + "}]} ");
  REQUIRE(set);
  CHECK(set->size() == 1);
  CHECK(set->complaints().empty());
  CHECK(fault_of(token_by(rsa(), "RS256"), *set) == kGood);
}

TEST_CASE("a set has a hundred keys, and says when it has more") {
  std::vector<std::string> keys(kKeysMax - 1, R"("kty":"oct","k":"AA","kid":"x")");
  keys.push_back(R"("kid":"last",)" + p256().jwk());
  CHECK(set_of(keys).complaints().empty());
  CHECK(fault_of(token_by(p256(), "ES256", "last"), set_of(keys)) == kGood);
  keys.insert(keys.begin(), R"("kty":"oct")");
  const KeySet set = set_of(keys);
  CHECK(set.complaints() == std::vector<std::string>{"keys behind the first 100 are ignored"});
  CHECK(fault_of(token_by(p256(), "ES256", "last"), set) == TokenFaultKind::kNoKeyForKid);
}

TEST_CASE("RSA keys from 2048 to 8192 bits with a small exponent are taken") {
  const Signer signer = make_rsa(3072);
  CHECK(fault_of(token_by(signer, "RS256"), set_of("k", signer.jwk())) == kGood);
  const std::string bits_8192 = base64url_encode(std::string(1024, '\xff'));
  CHECK(set_of("k", R"("kty":"RSA","e":"Aw","n":")" + bits_8192 + '"').complaints().empty());
  const std::string leading_zero = base64url_encode('\0' + *base64url_decode(rsa().number("n")));
  CHECK(fault_of(token_by(rsa(), "RS256"), set_of("k", R"("kty":"RSA","e":"AQAB","n":")" + leading_zero + '"')) ==
        kGood);
}

}  // namespace
}  // namespace rt::auth
