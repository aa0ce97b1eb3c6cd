#include "domain/tenants/reencryption.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "base/check.h"
#include "base/utf8.h"
#include "protocol/json/value.h"

namespace rt::tenants {
namespace {

constexpr std::string_view kEncrypted[] = {"db_host", "db_port", "db_name", "db_user", "db_password"};

// The encrypted value of a member, where it is one.
std::optional<std::string> encrypted_value(std::string_view key, json::Value value) {
  return is_encrypted_setting(json::unescape(key)) ? value.string() : std::nullopt;
}

// The same object with another text in the place of each encrypted value; the first error ends it.
using Replace = std::function<Result<std::string>(std::string value)>;
Result<std::string> replaced(json::Value settings, const Replace& replace) {
  std::string out = "{";
  json::Elements members(settings);
  while (const auto value = members.next()) {
    if (out.size() > 1) out += ',';
    out.append(members.key()).append(":");
    auto stored = encrypted_value(members.key(), *value);
    if (!stored) {
      out.append(value->text());
      continue;
    }
    const auto other = replace(*std::move(stored));
    if (!other) return fail(other.error(), json::unescape(members.key()));
    out.append(json::quoted(*other));
  }
  return out + "}";
}

std::optional<json::Value> object_of(std::string_view settings) {
  const auto document = json::walk_document(settings);
  if (!document || !json::Value(document->text).is_object()) return std::nullopt;
  return json::Value(document->text);
}

bool has_legacy_settings(const TenantExtension& extension) {
  const auto settings = object_of(extension.settings);
  if (!settings) return false;
  json::Elements members(*settings);
  while (const auto value = members.next()) {
    const auto stored = encrypted_value(members.key(), *value);
    if (stored && Encryption::is_legacy(*stored)) return true;
  }
  return false;
}

// What cannot be decrypted stays as it is.
std::uint64_t hash_of_plain(std::string_view settings, const Encryption& encryption) {
  constexpr HashKey kKey{0x706c61696e5f7365, 0x7474696e67735f5f};
  const auto object = object_of(settings);
  if (!object) return siphash(kKey, settings);
  const auto plain = replaced(*object, [&](std::string value) -> Result<std::string> {
    auto decrypted = encryption.decrypt(value);
    return decrypted && is_valid_utf8(*decrypted) ? *std::move(decrypted) : std::move(value);
  });
  RT_CHECK(plain.has_value());
  return json::hash_of(kKey, json::Value(*plain));
}

bool is_same(const TenantExtension& a, const TenantExtension& b, const Encryption& encryption) {
  if (a == b) return true;
  TenantExtension other = b;
  other.settings = a.settings;
  return a == other && hash_of_plain(a.settings, encryption) == hash_of_plain(b.settings, encryption);
}

}  // namespace

bool is_encrypted_setting(std::string_view key) { return std::ranges::find(kEncrypted, key) != std::end(kEncrypted); }

bool has_legacy(const TenantRecord& stored) {
  return (!stored.jwt_secret.empty() && Encryption::is_legacy(stored.jwt_secret)) ||
         std::ranges::any_of(stored.extensions, has_legacy_settings);
}

std::vector<Reencryption> reencrypted(const TenantRecord& stored, const Encryption& encryption, Random& random) {
  const auto renew = [&](std::string value) -> Result<std::string> {
    if (!Encryption::is_legacy(value)) return value;
    return encryption.decrypt(value).map([&](const std::string& plain) { return encryption.encrypt(plain, random); });
  };
  std::vector<Reencryption> out;
  if (!stored.jwt_secret.empty() && Encryption::is_legacy(stored.jwt_secret)) {
    out.push_back(
        {.field = "jwt_secret", .extension = "", .before = stored.jwt_secret, .after = renew(stored.jwt_secret)});
  }
  for (const TenantExtension& extension : stored.extensions) {
    if (!has_legacy_settings(extension)) continue;
    out.push_back({.field = "settings:" + extension.type,
                   .extension = extension.type,
                   .before = extension.settings,
                   .after = replaced(*object_of(extension.settings), renew)});
  }
  return out;
}

bool are_same(const std::vector<TenantExtension>& a, const std::vector<TenantExtension>& b,
              const Encryption& encryption) {
  return std::ranges::equal(a, b, [&](const auto& one, const auto& other) { return is_same(one, other, encryption); });
}

}  // namespace rt::tenants
