#include "domain/auth/key_set.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/base64.h"
#include "protocol/json/value.h"
#include "protocol/json/walker.h"

namespace rt::auth {
namespace {

using Material = std::variant<Unusable, std::string, PublicKey>;

// More than any public number needs (the modulus of RSA is the largest), and looked at before it is decoded.
constexpr std::size_t kNumberBytesMax = 2 * kRsaBitsMax / 8;

// A member that is null is as good as none.
std::optional<json::Value> member(json::Value key, std::string_view name) {
  const auto value = key.member(name);
  return value && !value->is_null() ? value : std::nullopt;
}

std::optional<std::string> text_of(json::Value key, std::string_view name) {
  const auto value = member(key, name);
  return value ? value->string() : std::nullopt;
}

// A member in base64url. Empty stands for everything that is no key material: absent, undecodable, too long.
std::string bytes_of(json::Value key, std::string_view name, std::size_t bytes_max) {
  const auto text = text_of(key, name);
  if (!text || text->size() / 4 * 3 > bytes_max) return {};
  return base64url_decode(*text).value_or("");
}

std::optional<Curve> edwards_curve(json::Value key) {
  const auto name = text_of(key, "crv");
  if (name == "Ed25519") return Curve::kEd25519;
  if (name == "Ed448") return Curve::kEd448;
  return std::nullopt;
}

std::optional<Curve> nist_curve(json::Value key) {
  const auto name = text_of(key, "crv");
  if (name == "P-256") return Curve::kP256;
  if (name == "P-384") return Curve::kP384;
  if (name == "P-521") return Curve::kP521;
  return std::nullopt;
}

// What protocol.md 1.6 looks for, by name: everything else in a set is somebody else's business.
bool is_candidate(json::Value key, KeyType type) {
  if (type == KeyType::kOct) return text_of(key, "k").has_value();
  if (type == KeyType::kOkp) return edwards_curve(key).has_value();
  return true;
}

Result<Material> read_material(json::Value key, KeyType type) {
  const auto number = [key](std::string_view name) { return bytes_of(key, name, kNumberBytesMax); };
  switch (type) {
    case KeyType::kOct: {
      std::string secret = bytes_of(key, "k", kKeySecretBytesMax);
      if (secret.empty()) return fail("its secret is empty, too long or not base64url without padding");
      return secret;
    }
    case KeyType::kRsa:
      return PublicKey::rsa(number("n"), number("e"));
    case KeyType::kEc: {
      const auto curve = nist_curve(key);
      if (!curve) return fail("its curve is none of P-256, P-384 and P-521");
      return PublicKey::ec(*curve, number("x"), number("y"));
    }
    case KeyType::kOkp:
      break;
  }
  return PublicKey::edwards(*edwards_curve(key), number("x"));
}

// RFC 7517 4.2 and 4.3.
Result<void> check_purpose(json::Value key) {
  if (const auto use = member(key, "use"); use && use->string() != "sig") return fail("its `use` is not sig");
  const auto operations = member(key, "key_ops");
  if (!operations) return {};
  if (operations->is_array()) {
    for (json::Elements each(*operations); const auto operation = each.next();) {
      if (operation->string() == "verify") return {};
    }
  }
  return fail("verify is not among its `key_ops`");
}

bool fits(const Material& material, Algorithm algorithm) {
  const auto* const key = std::get_if<PublicKey>(&material);
  return key != nullptr ? key->fits(algorithm) : key_type(algorithm) == KeyType::kOct;
}

// RFC 7517 4.4, and RFC 8725 3.1: a key is for one algorithm.
Result<std::optional<Algorithm>> read_only_for(json::Value key, const Material& material) {
  const auto name = member(key, "alg");
  if (!name) return std::nullopt;
  const auto algorithm = parse_algorithm(name->string().value_or(""));
  if (!algorithm || !fits(material, *algorithm)) return fail("its `alg` is no signature algorithm for such a key");
  return algorithm;
}

// The usable part of a key; the error says why there is none.
Result<void> read_into(NamedKey& out, json::Value key) {
  auto material = read_material(key, out.type);
  if (!material) return tl::make_unexpected(material.error());
  if (auto purpose = check_purpose(key); !purpose) return purpose;
  auto only_for = read_only_for(key, *material);
  if (!only_for) return tl::make_unexpected(only_for.error());
  out.material = std::move(*material);
  out.only_for = *only_for;
  return {};
}

}  // namespace

Result<KeySet> KeySet::parse(std::string_view json) {
  const auto document = json::walk_document(json);
  const auto list = document ? json::Value(document->text).member("keys") : std::nullopt;
  if (!list || !list->is_array()) return fail("not a JSON object with a list `keys`");
  KeySet set;
  std::size_t seen = 0;
  for (json::Elements keys(*list); const auto key = keys.next();) {
    if (++seen > kKeysMax) {
      set.complaints_.push_back("keys behind the first " + std::to_string(kKeysMax) + " are ignored");
      break;
    }
    const auto type = parse_key_type(text_of(*key, "kty").value_or(""));
    auto kid = text_of(*key, "kid");
    if (!type || !kid || !is_candidate(*key, *type)) continue;
    NamedKey& named = set.keys_.emplace_back(std::move(*kid), *type);
    if (const auto read = read_into(named, *key); !read) {
      set.complaints_.push_back("the key \"" + named.kid + "\" cannot be used: " + read.error().message);
    }
  }
  return set;
}

const NamedKey* KeySet::find(KeyType type, std::string_view kid) const {
  const auto found =
      std::ranges::find_if(keys_, [&](const NamedKey& key) { return key.type == type && key.kid == kid; });
  return found == keys_.end() ? nullptr : &*found;
}

bool serves(const NamedKey& key, Algorithm algorithm) {
  if (std::holds_alternative<Unusable>(key.material) || !fits(key.material, algorithm)) return false;
  // An Edwards curve has one algorithm, under two names.
  return !key.only_for || key.only_for == algorithm || key.type == KeyType::kOkp;
}

}  // namespace rt::auth
