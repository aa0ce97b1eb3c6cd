#include "load/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <ctime>

#include "base/base64.h"

namespace rt::load {

std::string mint_token(std::string_view secret) {
  constexpr std::time_t kDay = 24 * 60 * 60;
  const std::string claims = R"({"role":"authenticated","exp":)" + std::to_string(std::time(nullptr) + kDay) + "}";
  const std::string text = base64url_encode(R"({"alg":"HS256","typ":"JWT"})") + "." + base64url_encode(claims);

  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &digest_bytes);
  return text + "." + base64url_encode({reinterpret_cast<const char*>(digest), digest_bytes});
}

}  // namespace rt::load
