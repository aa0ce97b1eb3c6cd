// HMAC (RFC 2104) with the SHA-2 family, the signature of HS256, HS384 and HS512.
#pragma once

#include <string>
#include <string_view>

namespace rt::auth {

enum class HmacHash { kSha256, kSha384, kSha512 };

// The raw signature. Thread-safe.
std::string hmac(HmacHash hash, std::string_view secret, std::string_view bytes);

// Takes as long whatever the first difference is. Lengths are not secret.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace rt::auth
