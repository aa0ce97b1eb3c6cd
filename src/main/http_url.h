// An absolute URL of http or https, as far as a client needs it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace rt::app {

struct HttpUrl {
  bool uses_tls = false;
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string target = "/";  // path and query

  // The value of a Host header.
  std::string authority() const;
};

// User names and fragments are refused. The error does not repeat the URL, whose query may hold a secret.
Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace rt::app
