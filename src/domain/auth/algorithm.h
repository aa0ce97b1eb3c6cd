// The algorithms that a token may be signed with, and the type of key that each takes.
//
// RFC 7518 3.1 and RFC 8037 3.1; `Ed25519` and `Ed448` are the names of RFC 9864. What is not here, `none` first of
// all, is no algorithm to us.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rt::auth {

enum class Algorithm : std::uint8_t {
  kHs256,
  kHs384,
  kHs512,
  kRs256,
  kRs384,
  kRs512,
  kEs256,
  kEs384,
  kEs512,
  kEdDsa,  // Ed25519 or Ed448, as the key says
  kEd25519,
  kEd448,
};

enum class KeyType : std::uint8_t { kOct, kRsa, kEc, kOkp };  // `kty`, RFC 7518 6.1 and RFC 8037 2

// Both are spelled in one way only.
std::optional<Algorithm> parse_algorithm(std::string_view name);
std::optional<KeyType> parse_key_type(std::string_view name);

KeyType key_type(Algorithm algorithm);

}  // namespace rt::auth
