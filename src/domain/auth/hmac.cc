#include "domain/auth/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <limits>

#include "base/check.h"

namespace rt::auth {
namespace {

const EVP_MD* digest_of(HmacHash hash) {
  switch (hash) {
    case HmacHash::kSha256:
      return EVP_sha256();
    case HmacHash::kSha384:
      return EVP_sha384();
    case HmacHash::kSha512:
      return EVP_sha512();
  }
  return nullptr;
}

}  // namespace

std::string hmac(HmacHash hash, std::string_view secret, std::string_view bytes) {
  RT_CHECK(secret.size() <= std::numeric_limits<int>::max());
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  // The key may not be null, even when it is empty.
  const char* const key = secret.empty() ? "" : secret.data();
  const auto* const result = HMAC(digest_of(hash), key, static_cast<int>(secret.size()),
                                  reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out, &length);
  RT_CHECK(result != nullptr);
  return {reinterpret_cast<const char*>(out), length};
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace rt::auth
