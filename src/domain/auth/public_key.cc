// OpenSSL leaves what failed in a queue of the thread, where the next caller would find it: it is cleared here.

#include "domain/auth/public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <limits>
#include <string>

#include "base/check.h"

namespace rt::auth {
namespace {

// RSA verifies with one multiplication per bit of the exponent. Nobody has one of more than 17 bits.
constexpr int kRsaExponentBitsMax = 64;

struct Free {
  void operator()(BIGNUM* number) const noexcept { BN_free(number); }
  void operator()(ECDSA_SIG* signature) const noexcept { ECDSA_SIG_free(signature); }
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
  void operator()(OSSL_PARAM* parameters) const noexcept { OSSL_PARAM_free(parameters); }
  void operator()(OSSL_PARAM_BLD* builder) const noexcept { OSSL_PARAM_BLD_free(builder); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

// What there is only when memory is left.
template <class T>
Owned<T> owned(T* made) {
  RT_CHECK(made != nullptr);
  return Owned<T>(made);
}

Owned<BIGNUM> number(std::string_view big_endian) {
  RT_CHECK(big_endian.size() <= std::numeric_limits<int>::max());
  return owned(BN_bin2bn(bytes(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

// Null: OpenSSL does not take it for a key of this type.
EVP_PKEY* import(const char* type, OSSL_PARAM* parameters) {
  const auto context = owned(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return key;
}

const char* name_of(Curve curve) {
  switch (curve) {
    case Curve::kP256:
      return "P-256";
    case Curve::kP384:
      return "P-384";
    case Curve::kP521:
      return "P-521";
    case Curve::kEd25519:
      return "ED25519";
    case Curve::kEd448:
      return "ED448";
  }
  return nullptr;
}

// Of a coordinate, or of an Edwards key.
std::size_t bytes_of(Curve curve) {
  switch (curve) {
    case Curve::kP256:
    case Curve::kEd25519:
      return 32;
    case Curve::kP384:
      return 48;
    case Curve::kP521:
      return 66;
    case Curve::kEd448:
      return 57;
  }
  return 0;
}

bool is_edwards(Curve curve) { return curve == Curve::kEd25519 || curve == Curve::kEd448; }

// Null: the algorithm has its hash built in.
const EVP_MD* digest_of(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRs256:
    case Algorithm::kEs256:
      return EVP_sha256();
    case Algorithm::kRs384:
    case Algorithm::kEs384:
      return EVP_sha384();
    case Algorithm::kRs512:
    case Algorithm::kEs512:
      return EVP_sha512();
    default:
      return nullptr;
  }
}

// RFC 7518 3.4 puts r and s beside each other, OpenSSL wants them in ASN.1.
std::string ecdsa_in_der(std::string_view signature) {
  const std::size_t half = signature.size() / 2;
  const auto both = owned(ECDSA_SIG_new());
  RT_CHECK(ECDSA_SIG_set0(both.get(), number(signature.substr(0, half)).release(),
                          number(signature.substr(half)).release()) == 1);
  std::string der(static_cast<std::size_t>(i2d_ECDSA_SIG(both.get(), nullptr)), '\0');
  auto* out = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(both.get(), &out);
  return der;
}

bool is_signed(EVP_PKEY* key, const EVP_MD* digest, std::string_view text, std::string_view signature) {
  const auto context = owned(EVP_MD_CTX_new());
  const bool good = EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
                    EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(text), text.size()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

}  // namespace

void PublicKey::Freer::operator()(evp_pkey_st* key) const noexcept { EVP_PKEY_free(key); }

// An exponent of one would make every text its own signature.
Result<PublicKey> PublicKey::rsa(std::string_view modulus, std::string_view exponent) {
  if (modulus.size() > std::size_t{2} * kRsaBitsMax / 8) return fail("an RSA key of too many bits");
  const auto n = number(modulus);
  const auto e = number(exponent);
  const int bits = BN_num_bits(n.get());
  if (bits < kRsaBitsMin || bits > kRsaBitsMax) return fail("an RSA key of " + std::to_string(bits) + " bits");
  if (BN_is_odd(n.get()) == 0) return fail("its RSA modulus is even");
  if (BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1 || BN_num_bits(e.get()) > kRsaExponentBitsMax)
    return fail("its RSA exponent is even, one or too large");
  const auto builder = owned(OSSL_PARAM_BLD_new());
  RT_CHECK(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1);
  RT_CHECK(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) == 1);
  Key key(import("RSA", owned(OSSL_PARAM_BLD_to_param(builder.get())).get()));
  if (!key) return fail("not an RSA key");
  return PublicKey(std::nullopt, std::move(key));
}

Result<PublicKey> PublicKey::ec(Curve curve, std::string_view x, std::string_view y) {
  RT_CHECK(!is_edwards(curve));
  if (x.size() != bytes_of(curve) || y.size() != bytes_of(curve)) return fail("its coordinates have another size");
  std::string point = "\x04";  // uncompressed, SEC 1 2.3.3
  point.append(x).append(y);
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(name_of(curve)), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end(),
  };
  Key key(import("EC", parameters));
  if (!key) return fail("its point is not on the curve");
  return PublicKey(curve, std::move(key));
}

Result<PublicKey> PublicKey::edwards(Curve curve, std::string_view x) {
  RT_CHECK(is_edwards(curve));
  if (x.size() != bytes_of(curve)) return fail("its point has another size");
  Key key(EVP_PKEY_new_raw_public_key_ex(nullptr, name_of(curve), nullptr, bytes(x), x.size()));
  RT_CHECK(key != nullptr);
  return PublicKey(curve, std::move(key));
}

bool PublicKey::fits(Algorithm algorithm) const {
  switch (algorithm) {
    case Algorithm::kHs256:
    case Algorithm::kHs384:
    case Algorithm::kHs512:
      return false;
    case Algorithm::kRs256:
    case Algorithm::kRs384:
    case Algorithm::kRs512:
      return !curve_;
    case Algorithm::kEs256:
      return curve_ == Curve::kP256;
    case Algorithm::kEs384:
      return curve_ == Curve::kP384;
    case Algorithm::kEs512:
      return curve_ == Curve::kP521;
    case Algorithm::kEdDsa:
      return curve_ && is_edwards(*curve_);
    case Algorithm::kEd25519:
      return curve_ == Curve::kEd25519;
    case Algorithm::kEd448:
      return curve_ == Curve::kEd448;
  }
  return false;
}

bool PublicKey::verify(Algorithm algorithm, std::string_view text, std::string_view signature) const {
  RT_CHECK(fits(algorithm));
  const std::size_t size = curve_ ? 2 * bytes_of(*curve_) : static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()));
  if (signature.size() != size) return false;
  if (!curve_ || is_edwards(*curve_)) return is_signed(key_.get(), digest_of(algorithm), text, signature);
  return is_signed(key_.get(), digest_of(algorithm), text, ecdsa_in_der(signature));
}

}  // namespace rt::auth
