#include "domain/auth/algorithm.h"

#include <algorithm>
#include <utility>

namespace rt::auth {
namespace {

constexpr std::pair<std::string_view, Algorithm> kAlgorithms[] = {
    {"HS256", Algorithm::kHs256}, {"HS384", Algorithm::kHs384},     {"HS512", Algorithm::kHs512},
    {"RS256", Algorithm::kRs256}, {"RS384", Algorithm::kRs384},     {"RS512", Algorithm::kRs512},
    {"ES256", Algorithm::kEs256}, {"ES384", Algorithm::kEs384},     {"ES512", Algorithm::kEs512},
    {"EdDSA", Algorithm::kEdDsa}, {"Ed25519", Algorithm::kEd25519}, {"Ed448", Algorithm::kEd448},
};

constexpr std::pair<std::string_view, KeyType> kKeyTypes[] = {
    {"oct", KeyType::kOct}, {"RSA", KeyType::kRsa}, {"EC", KeyType::kEc}, {"OKP", KeyType::kOkp}};

template <class Value, std::size_t size>
std::optional<Value> look_up(const std::pair<std::string_view, Value> (&table)[size], std::string_view name) {
  const auto* const found = std::ranges::find(table, name, &std::pair<std::string_view, Value>::first);
  return found == std::end(table) ? std::nullopt : std::optional(found->second);
}

}  // namespace

std::optional<Algorithm> parse_algorithm(std::string_view name) { return look_up(kAlgorithms, name); }

std::optional<KeyType> parse_key_type(std::string_view name) { return look_up(kKeyTypes, name); }

KeyType key_type(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kHs256:
    case Algorithm::kHs384:
    case Algorithm::kHs512:
      return KeyType::kOct;
    case Algorithm::kRs256:
    case Algorithm::kRs384:
    case Algorithm::kRs512:
      return KeyType::kRsa;
    case Algorithm::kEs256:
    case Algorithm::kEs384:
    case Algorithm::kEs512:
      return KeyType::kEc;
    case Algorithm::kEdDsa:
    case Algorithm::kEd25519:
    case Algorithm::kEd448:
      break;
  }
  return KeyType::kOkp;
}

}  // namespace rt::auth
