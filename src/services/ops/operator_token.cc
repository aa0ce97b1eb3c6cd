#include "services/ops/operator_token.h"

#include <algorithm>

namespace rt::ops {

bool has_operator_token(const http::Request& request, const OperatorTokens& tokens,
                        const std::vector<auth::ClaimValidator>& validators, UnixSeconds now) {
  constexpr std::string_view kBearer = "Bearer ";
  const auto count = std::ranges::count(request.headers, "authorization", &http::Header::name);
  const std::string_view value = request.header("authorization").value_or("");
  if (count != 1 || !value.starts_with(kBearer)) return false;
  return std::ranges::any_of(tokens.secrets, [&](const std::string& secret) {
    const auth::VerificationRules rules{
        .secret = secret, .validators = &validators, .blocklist = &tokens.blocklist, .requires_role_and_exp = false};
    return auth::verify(value.substr(kBearer.size()), rules, now).has_value();
  });
}

}  // namespace rt::ops
