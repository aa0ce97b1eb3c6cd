// Public keys of those who sign tokens: RSA (RFC 7518 3.3), EC (3.4) and Edwards curves (RFC 8037 3.1).
//
// A key knows what it is good for, and verifies with nothing else: the algorithm that a token names only ever chooses
// among those that fit its key.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "domain/auth/algorithm.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace rt::auth {

// NIST's curves and those of Edwards: `crv` of RFC 7518 6.2.1.1 and RFC 8037 2.
enum class Curve : std::uint8_t { kP256, kP384, kP521, kEd25519, kEd448 };

// Smaller ones can be broken, says RFC 7518 3.3. Larger ones would make a handshake expensive.
inline constexpr int kRsaBitsMin = 2048;
inline constexpr int kRsaBitsMax = 8192;

class PublicKey {
 public:
  // Numbers are big-endian. An error says what is wrong with the key.
  static Result<PublicKey> rsa(std::string_view modulus, std::string_view exponent);
  // The coordinates have exactly the size that the curve gives them.
  static Result<PublicKey> ec(Curve curve, std::string_view x, std::string_view y);
  static Result<PublicKey> edwards(Curve curve, std::string_view x);

  bool fits(Algorithm algorithm) const;
  // `signature` as it stands in a token: for ES* r and s beside each other, each of the size of a coordinate. The
  // algorithm has to fit. Thread-safe.
  bool verify(Algorithm algorithm, std::string_view text, std::string_view signature) const;

 private:
  struct Freer {
    void operator()(evp_pkey_st* key) const noexcept;
  };
  using Key = std::unique_ptr<evp_pkey_st, Freer>;

  PublicKey(std::optional<Curve> curve, Key key) : curve_(curve), key_(std::move(key)) {}

  std::optional<Curve> curve_;  // nullopt: RSA
  Key key_;
};

}  // namespace rt::auth
