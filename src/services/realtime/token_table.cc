#include "services/realtime/token_table.h"

#include <utility>

namespace rt::realtime {

Result<TokenRef, TokenFault> TokenTable::verify(const TenantRecord& tenant, std::string_view text, UnixSeconds now) {
  const std::uint64_t secret_hash = siphash(hash_key_, tenant.jwt_secret);
  const auto found = tokens_.find(Key{tenant.external_id, text});
  if (found != tokens_.end() && (found->second.secret_hash != secret_hash || found->second.keys != tenant.keys)) {
    tokens_.erase(found);
  } else if (found != tokens_.end()) {
    TokenRef token = found->second.token.lock();
    if (const auto ok = auth::confirm(token->claims, now); !ok) return tl::make_unexpected(ok.error());
    return token;
  }
  const auth::VerificationRules rules{
      .secret = tenant.jwt_secret, .keys = tenant.keys.get(), .validators = &validators_};
  auto claims = auth::verify(text, rules, now);
  if (!claims) return tl::make_unexpected(claims.error());
  auto* held = new Held{tenant.external_id, Token{std::string(text), std::move(*claims)}};
  const std::shared_ptr<Held> owner(held, [this](Held* last) {
    // Its place may be that of a token which was verified after this one had been forgotten.
    const auto place = tokens_.find(Key{last->tenant, last->token.text});
    if (place != tokens_.end() && place->first.text.data() == last->token.text.data()) tokens_.erase(place);
    delete last;
  });
  TokenRef token(owner, &held->token);
  tokens_.emplace(Key{held->tenant, held->token.text}, Entry{token, secret_hash, tenant.keys});
  return token;
}

TokenRef TokenTable::for_other_threads(std::string_view tenant, const TokenRef& token) {
  // Not in one piece with its counts, which the entry keeps.
  const auto copy = [&token] { return std::shared_ptr<const Token>(new Token(*token)); };
  const auto found = tokens_.find(Key{tenant, token->text});
  // It may have been forgotten, and another one of the same text verified since.
  if (found == tokens_.end() || found->second.token.lock() != token) return copy();
  TokenRef out = found->second.copy.lock();
  if (out == nullptr) found->second.copy = out = copy();
  return out;
}

void TokenTable::forget(std::string_view tenant) {
  std::erase_if(tokens_, [tenant](const auto& entry) { return entry.first.tenant == tenant; });
}

}  // namespace rt::realtime
