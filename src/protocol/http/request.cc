#include "protocol/http/request.h"

#include <algorithm>
#include <ctime>

namespace rt::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string decode_component(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) << 4 | hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The absolute form of a target (RFC 9112 3.2.2), which proxies use: where `http://host` ends; 0 in the usual form.
std::size_t authority_end(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (equal_ignoring_case(target.substr(0, scheme.size()), scheme))
      return std::min(target.find('/', scheme.size()), target.size());
  }
  return 0;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Unknown";
  }
}

}  // namespace

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool accepts_json(const Request& request) {
  const auto accept = request.header("accept");
  if (!accept) return true;
  for (const std::string_view type : {"*/*", "application/*", "application/json"}) {
    if (accept->find(type) != std::string_view::npos) return true;
  }
  return false;
}

std::string_view Request::path() const {
  std::string_view path = std::string_view(target).substr(0, target.find('?'));
  if (const std::size_t begin = authority_end(path); begin > 0) path.remove_prefix(begin);
  return path.empty() ? "/" : path;
}

std::string_view Request::resource() const {
  constexpr std::string_view kAlias = "/realtime/v1";
  std::string_view out = path();
  if (out.size() > 1 && out.ends_with('/')) out.remove_suffix(1);
  if (out.starts_with(kAlias) && out.substr(kAlias.size()).starts_with('/')) out.remove_prefix(kAlias.size());
  return out;
}

std::string_view Request::query() const {
  const std::size_t mark = target.find('?');
  if (mark == std::string::npos) return {};
  const std::string_view query = std::string_view(target).substr(mark + 1);
  return query.substr(0, query.find('#'));
}

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const Header& header : headers) {
    if (header.name == name) return header.value;
  }
  return std::nullopt;
}

bool Request::has_token(std::string_view name, std::string_view token) const {
  for (const Header& header : headers) {
    if (header.name != name) continue;
    std::string_view rest = header.value;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      if (equal_ignoring_case(trimmed(rest.substr(0, comma)), token)) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

std::string Request::host() const {
  std::string_view host = trimmed(header("host").value_or(""));
  // A target in absolute form names the host itself, and then the header does not count.
  if (const std::size_t end = authority_end(target); end > 0)
    host = std::string_view(target).substr(0, end).substr(target.find("//") + 2);
  host = host.substr(0, host.find('?'));
  if (!host.empty() && host.front() == '[') return ascii_lower(host.substr(0, host.find(']') + 1));
  return ascii_lower(host.substr(0, host.find(':')));
}

Response Response::text(int status, std::string body) {
  return {status, {{"content-type", "text/plain; charset=utf-8"}}, std::move(body)};
}

Response Response::json(int status, std::string body) {
  return {status, {{"content-type", "application/json; charset=utf-8"}}, std::move(body)};
}

std::string serialize(const Response& response, BodyOf kind, bool keep_alive, std::string_view date) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += reason_phrase(response.status);
  out += "\r\ndate: ";
  out += date;
  for (const Header& header : response.headers) out += "\r\n" + header.name + ": " + header.value;
  const std::size_t body_bytes = response.shared_body ? response.shared_body->size() : response.body.size();
  if (response.status != 204 && response.status != 304) out += "\r\ncontent-length: " + std::to_string(body_bytes);
  if (!keep_alive) out += "\r\nconnection: close";
  out += "\r\n\r\n";
  if (kind == BodyOf::kGet) out += response.body;
  return out;
}

std::string http_date(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[40];
  const std::size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, length);
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    pairs.emplace_back(decode_component(pair.substr(0, equals)), decode_component(value));
  }
  return pairs;
}

}  // namespace rt::http
