// The keys of a tenant: a JSON Web Key Set (RFC 7517) as its record has it, read once.
//
// A key is chosen by what a token's algorithm takes and by the token's `kid`, never by the `kid` alone, so no public
// key can ever serve as somebody's HMAC secret. A key that cannot be used (broken, weak, or meant for something else
// by its own `alg`, `use` or `key_ops`) stays in its place all the same: its `kid` is then refused by name instead of
// being verified with the next best thing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "domain/auth/algorithm.h"
#include "domain/auth/public_key.h"

namespace rt::auth {

inline constexpr std::size_t kKeysMax = 100;             // of a set; the rest is not looked at
inline constexpr std::size_t kKeySecretBytesMax = 4096;  // of a key of type `oct`

struct Unusable {};

struct NamedKey {
  std::string kid;
  KeyType type;
  std::variant<Unusable, std::string, PublicKey> material;  // a secret for kOct, a public key for the other types
  std::optional<Algorithm> only_for;                        // its `alg`
};

class KeySet {
 public:
  // An error: not an object with a list `keys`.
  static Result<KeySet> parse(std::string_view json);

  // The first key of that type and kid; null: there is none. Lives as long as the set.
  const NamedKey* find(KeyType type, std::string_view kid) const;
  // For whoever put the keys there: what cannot be used, and why.
  const std::vector<std::string>& complaints() const { return complaints_; }
  std::size_t size() const { return keys_.size(); }

 private:
  std::vector<NamedKey> keys_;
  std::vector<std::string> complaints_;
};

// Whether a token of this algorithm may be verified with the key, which is of its type.
bool serves(const NamedKey& key, Algorithm algorithm);

}  // namespace rt::auth
