// Encryption at rest: how secrets of tenants lie in the control store (tenants.md 3).
//
// There are two formats, told apart by a prefix, and both may lie side by side. The old one (AES-128-ECB) is there
// because stores are full of it: equal texts look equal in it, and nobody notices when it is tampered with. The current
// one (AES-256-GCM, NIST SP 800-38D) is neither.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"

namespace rt::tenants {

class Encryption {
 public:
  static constexpr std::size_t kLegacyKeyBytes = 16;
  static constexpr std::size_t kKeyBytes = 32;
  enum class Format : std::uint8_t { kLegacy, kCurrent };

  // `legacy_key` has 16 bytes, `key` has 32 if there is one; new values are written in `format`, which needs its key.
  Encryption(std::string legacy_key, std::optional<std::string> key, Format format);

  std::string encrypt(std::string_view plain, Random& random) const;
  // Of either format. The error says what is wrong and shows neither key nor text.
  Result<std::string> decrypt(std::string_view stored) const;

  static bool is_legacy(std::string_view stored);
  bool writes_current() const { return format_ == Format::kCurrent; }

 private:
  Result<std::string> decrypt_legacy(std::string_view stored) const;
  Result<std::string> decrypt_current(std::string_view stored) const;

  const std::string legacy_key_;
  const std::optional<std::string> key_;
  const Format format_;
};

}  // namespace rt::tenants
