#include "domain/auth/claim_rules.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "domain/auth/fault.h"
#include "protocol/json/walker.h"

namespace rt::auth {
namespace {

// An `exp` beyond the year 2242 is taken as that moment, so that it can be counted in nanoseconds without overflow.
constexpr UnixSeconds kExpiryMax = UnixSeconds{1} << 33;
// An `exp` before this is reported as if it was this.
constexpr UnixSeconds kExpiryMin = -(UnixSeconds{1} << 53);

using Outcome = Result<void, TokenFault>;

bool is_integer(json::Value number) { return number.text().find_first_of(".eE") == std::string_view::npos; }

// `time` is a number. Rounded half away from zero, and clamped.
UnixSeconds seconds(json::Value time) {
  if (const auto exact = time.integer()) return std::clamp(*exact, kExpiryMin, kExpiryMax);
  const double value = time.number().value_or(0);
  return std::llround(std::clamp(value, static_cast<double>(kExpiryMin), static_cast<double>(kExpiryMax)));
}

bool is_after(json::Value time, UnixSeconds now) {
  if (const auto exact = time.integer()) return *exact > now;
  return time.number().value_or(0) > static_cast<double>(now);
}

Outcome check_expiry(std::optional<json::Value> exp, UnixSeconds now) {
  if (!exp) return {};
  if (exp->type() != json::Type::kNumber) return fault(TokenFaultKind::kOther);
  if (is_after(*exp, now)) return {};
  // Only whole seconds have a text: `Token has expired 3.2 seconds ago` is nothing that clients have ever seen.
  if (!is_integer(*exp)) return fault(TokenFaultKind::kOther);
  return expired(now - seconds(*exp));
}

bool equal_numbers(json::Value a, json::Value b) {
  const auto exact_a = a.integer();
  const auto exact_b = b.integer();
  return exact_a && exact_b ? exact_a == exact_b : a.number() == b.number();
}

bool equal(json::Value actual, json::Value expected);

bool equal_arrays(json::Value actual, json::Value expected) {
  json::Elements actual_elements(actual);
  json::Elements expected_elements(expected);
  for (;;) {
    const auto a = actual_elements.next();
    const auto b = expected_elements.next();
    if (!a || !b) return !a && !b;
    if (!equal(*a, *b)) return false;
  }
}

// Every expected member has its value, and there is no other. What `expected` holds is the operator's and small, so its
// members may be searched for.
bool equal_objects(json::Value actual, json::Value expected) {
  for (json::Elements members(expected); members.next();) {
    const std::string name = json::unescape(members.key());
    const auto value = actual.member(name);
    if (!value || !equal(*value, *expected.member(name))) return false;
  }
  for (json::Elements members(actual); members.next();) {
    if (!expected.member(json::unescape(members.key()))) return false;
  }
  return true;
}

// Equal as JSON: 1 and 1.0 are the same number, and neither the order of members nor the spelling of strings counts.
bool equal(json::Value actual, json::Value expected) {
  if (actual.type() != expected.type()) return false;
  switch (expected.type()) {
    case json::Type::kNumber:
      return equal_numbers(actual, expected);
    case json::Type::kString:
      return actual.string() == expected.string();
    case json::Type::kArray:
      return equal_arrays(actual, expected);
    case json::Type::kObject:
      return equal_objects(actual, expected);
    default:
      return true;
  }
}

bool satisfies(json::Value claims, const ClaimValidator& validator) {
  const auto claim = claims.member(validator.claim);
  if (!claim) return true;
  const auto expected = json::walk_document(validator.expected_json);
  RT_CHECK(expected);  // the configuration was checked when it was read
  return equal(*claim, json::Value(expected->text));
}

Outcome validate(json::Value claims, const VerificationRules& rules, UnixSeconds now) {
  if (auto expiry = check_expiry(claims.member("exp"), now); !expiry) return expiry;
  const auto iat = claims.member("iat");
  if (iat && iat->type() != json::Type::kNumber) return fault(TokenFaultKind::kOther);
  if (rules.validators == nullptr) return {};
  const bool all_hold = std::ranges::all_of(
      *rules.validators, [&](const ClaimValidator& validator) { return satisfies(claims, validator); });
  if (!all_hold) return fault(TokenFaultKind::kOther);
  return {};
}

std::string text_or_empty(std::optional<json::Value> claim) {
  return claim ? claim->string().value_or(std::string()) : std::string();
}

}  // namespace

Result<Claims, TokenFault> check_claims(json::Value claims, const VerificationRules& rules, UnixSeconds now) {
  if (auto valid = validate(claims, rules, now); !valid) return tl::make_unexpected(valid.error());
  const auto role = claims.member("role");
  const auto exp = claims.member("exp");
  if (rules.requires_role_and_exp && (!role || !exp)) return fault(TokenFaultKind::kMissingClaims);
  return Claims{
      .role = text_or_empty(role),
      .subject = text_or_empty(claims.member("sub")),
      .expires_at = exp ? seconds(*exp) : 0,
      .json = std::string(claims.text()),
  };
}

}  // namespace rt::auth
