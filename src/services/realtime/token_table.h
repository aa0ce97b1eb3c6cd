// Verified tokens of one worker, each once.
//
// Thousands of sockets often share a token, and each socket shows its own again with every join. A token that somebody
// here holds is not verified again: only its times are looked at. It is forgotten with its last holder, which has to be
// on the worker's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/siphash.h"
#include "domain/auth/jwt.h"
#include "model/tenant.h"
#include "model/token.h"

namespace rt::realtime {

class TokenTable {  // used on its worker's thread only; must outlive all tokens it gave out
 public:
  TokenTable(HashKey hash_key, const std::vector<auth::ClaimValidator>& validators)
      : hash_key_(hash_key), validators_(validators), tokens_(0, HashOf{hash_key}) {}

  Result<TokenRef, TokenFault> verify(const TenantRecord& tenant, std::string_view text, UnixSeconds now);
  // A copy of a token, which may go to other threads and stay there; as long as somebody has it, it is the same for all
  // who hold that token.
  TokenRef for_other_threads(std::string_view tenant, const TokenRef& token);
  // The tenant's keys are others now: its tokens are verified anew when they are shown again.
  void forget(std::string_view tenant);
  std::size_t size() const { return tokens_.size(); }

 private:
  struct Key {
    std::string_view tenant;
    std::string_view text;
    bool operator==(const Key&) const = default;
  };
  struct HashOf {
    HashKey key;
    std::size_t operator()(const Key& k) const { return siphash(key, k.text) ^ siphash(key, k.tenant); }
  };
  struct Held {  // keys point into it
    std::string tenant;
    Token token;
  };

  const HashKey hash_key_;
  const std::vector<auth::ClaimValidator>& validators_;
  // A token is good as long as what it was verified with is.
  struct Entry {
    std::weak_ptr<const Token> token;
    std::uint64_t secret_hash;
    std::shared_ptr<const auth::KeySet> keys;
    std::weak_ptr<const Token> copy{};
  };

  std::unordered_map<Key, Entry, HashOf> tokens_;
};

}  // namespace rt::realtime
