#include "main/http_url.h"

#include <algorithm>

namespace rt::app {
namespace {

constexpr std::string_view kExpected = "expected a URL such as http://127.0.0.1:4000/path";

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_host(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c != 0x7f && c != '"'; });
}

}  // namespace

std::string HttpUrl::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (uses_tls ? "443" : "80") ? name : name + ":" + port;
}

Result<HttpUrl> parse_http_url(std::string_view text) {
  HttpUrl url;
  const bool is_plain = text.starts_with("http://");
  url.uses_tls = text.starts_with("https://");
  if (!is_plain && !url.uses_tls) return fail(std::string(kExpected));
  text.remove_prefix(text.find("//") + 2);
  const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
  std::string_view authority = text.substr(0, end);
  const std::string_view target = text.substr(end);
  if (authority.find('@') != std::string_view::npos) return fail("a URL here has no user name or password");
  const bool is_target = std::ranges::all_of(target, [](unsigned char c) { return c > ' ' && c < 0x7f && c != '#'; });
  if (!is_target) return fail(std::string(kExpected) + ", without spaces and without a fragment");
  if (!target.empty()) url.target = target.front() == '/' ? std::string(target) : "/" + std::string(target);

  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  url.port = has_port ? std::string(authority.substr(colon + 1)) : url.uses_tls ? "443" : "80";
  if (has_port) authority = authority.substr(0, colon);
  if (authority.starts_with('[') && authority.ends_with(']')) authority = authority.substr(1, authority.size() - 2);
  url.host = authority;
  if (!is_host(url.host) || !is_port(url.port)) return fail(std::string(kExpected));
  return url;
}

}  // namespace rt::app
