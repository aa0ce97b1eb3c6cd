// A JWT that the server under load accepts: HS256, role `authenticated`, good for a day.
#pragma once

#include <string>
#include <string_view>

namespace rt::load {

std::string mint_token(std::string_view secret);

}  // namespace rt::load
