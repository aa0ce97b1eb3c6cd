// Base64, RFC 4648: the standard alphabet with padding, and the URL-safe one without, as JWT uses it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rt {

std::string base64_encode(std::string_view bytes);
std::string base64url_encode(std::string_view bytes);

// Unpadded. nullopt: a foreign character, or a length that no text has (4n + 1). Stray low bits of the last character
// are ignored, as most decoders do.
std::optional<std::string> base64url_decode(std::string_view text);

// Standard and padded. nullopt: a foreign character, a wrong length or padding, or stray bits in the last character.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace rt
