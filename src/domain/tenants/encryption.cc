#include "domain/tenants/encryption.h"

#include <openssl/evp.h>

#include <memory>
#include <span>
#include <utility>

#include "base/base64.h"
#include "base/check.h"

namespace rt::tenants {
namespace {

constexpr std::string_view kPrefix = "g1:";
constexpr std::size_t kIvBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kBlockBytes = 16;

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

Context new_context() {
  Context context(EVP_CIPHER_CTX_new());
  RT_CHECK(context != nullptr);
  return context;
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

// All of `in` and the end of it through a context that is set up. nullopt: it does not end as it should.
std::optional<std::string> through(EVP_CIPHER_CTX* context, std::string_view in) {
  std::string out(in.size() + kBlockBytes, '\0');
  auto* const to = reinterpret_cast<unsigned char*>(out.data());
  int made = 0;
  int end = 0;
  if (EVP_CipherUpdate(context, to, &made, bytes_of(in), static_cast<int>(in.size())) != 1) return std::nullopt;
  if (EVP_CipherFinal_ex(context, to + made, &end) != 1) return std::nullopt;
  out.resize(static_cast<std::size_t>(made) + static_cast<std::size_t>(end));
  return out;
}

enum class Direction { kDecrypt = 0, kEncrypt = 1 };

std::optional<std::string> legacy(Direction direction, std::string_view key, std::string_view in) {
  const Context context = new_context();
  RT_CHECK(EVP_CipherInit_ex(context.get(), EVP_aes_128_ecb(), nullptr, bytes_of(key), nullptr,
                             static_cast<int>(direction)) == 1);
  return through(context.get(), in);
}

Context current(Direction direction, std::string_view key, std::string_view iv) {
  Context context = new_context();
  RT_CHECK(EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key), bytes_of(iv),
                             static_cast<int>(direction)) == 1);
  return context;
}

}  // namespace

Encryption::Encryption(std::string legacy_key, std::optional<std::string> key, Format format)
    : legacy_key_(std::move(legacy_key)), key_(std::move(key)), format_(format) {
  RT_CHECK(legacy_key_.size() == kLegacyKeyBytes);
  RT_CHECK(!key_ || key_->size() == kKeyBytes);
  RT_CHECK(key_ || format_ == Format::kLegacy);
}

bool Encryption::is_legacy(std::string_view stored) { return !stored.starts_with(kPrefix); }

std::string Encryption::encrypt(std::string_view plain, Random& random) const {
  if (format_ == Format::kLegacy) {
    const auto encrypted = legacy(Direction::kEncrypt, legacy_key_, plain);
    RT_CHECK(encrypted.has_value());
    return base64_encode(*encrypted);
  }
  std::string iv(kIvBytes, '\0');
  random.fill(std::as_writable_bytes(std::span(iv)));
  const Context context = current(Direction::kEncrypt, *key_, iv);
  const auto encrypted = through(context.get(), plain);
  std::string tag(kTagBytes, '\0');
  RT_CHECK(encrypted.has_value());
  RT_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag.data()) == 1);
  return std::string(kPrefix) + base64_encode(iv + tag + *encrypted);
}

Result<std::string> Encryption::decrypt(std::string_view stored) const {
  return is_legacy(stored) ? decrypt_legacy(stored) : decrypt_current(stored);
}

Result<std::string> Encryption::decrypt_legacy(std::string_view stored) const {
  const auto bytes = base64_decode(stored);
  if (!bytes || bytes->empty() || bytes->size() % kBlockBytes != 0) return fail("it is not an encrypted value");
  auto plain = legacy(Direction::kDecrypt, legacy_key_, *bytes);
  if (!plain) return fail("it was encrypted with another key than DB_ENC_KEY");
  return *std::move(plain);
}

Result<std::string> Encryption::decrypt_current(std::string_view stored) const {
  if (!key_) return fail("it needs DB_ENC_KEY_GCM, which is not set");
  const auto bytes = base64_decode(stored.substr(kPrefix.size()));
  if (!bytes || bytes->size() < kIvBytes + kTagBytes) return fail("it is not an encrypted value");
  const std::string_view all = *bytes;
  std::string tag(all.substr(kIvBytes, kTagBytes));
  const Context context = current(Direction::kDecrypt, *key_, all.substr(0, kIvBytes));
  RT_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  auto plain = through(context.get(), all.substr(kIvBytes + kTagBytes));
  if (!plain) return fail("it was encrypted with another key than DB_ENC_KEY_GCM, or has been tampered with");
  return *std::move(plain);
}

}  // namespace rt::tenants
