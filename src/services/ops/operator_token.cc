#include "services/ops/operator_token.h"

#include <algorithm>

namespace rt::ops {

std::optional<Claims> operator_claims(const http::Request& request, const OperatorTokens& tokens,
                                      const std::vector<auth::ClaimValidator>& validators, UnixSeconds now) {
  constexpr std::string_view kBearer = "Bearer ";
  const auto count = std::ranges::count(request.headers, "authorization", &http::Header::name);
  const std::string_view value = request.header("authorization").value_or("");
  if (count != 1 || !value.starts_with(kBearer)) return std::nullopt;
  for (const std::string& secret : tokens.secrets) {
    const auth::VerificationRules rules{
        .secret = secret, .validators = &validators, .blocklist = &tokens.blocklist, .requires_role_and_exp = false};
    if (auto claims = auth::verify(value.substr(kBearer.size()), rules, now)) return std::move(*claims);
  }
  return std::nullopt;
}

bool is_of_client(const Claims& claims) { return claims.role == "anon" || claims.role == "authenticated"; }

}  // namespace rt::ops
