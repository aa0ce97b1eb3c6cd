// An HTTP/1.1 request and response as values (RFC 9110, RFC 9112).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ip_address.h"

namespace rt::http {

struct Header {
  std::string name;  // lower case
  std::string value;
};

struct Request {
  std::string method;
  std::string target;  // as on the request line
  bool is_http11 = true;
  bool keep_alive = true;
  std::vector<Header> headers;  // in the order received
  std::string body;
  IpAddress client{};  // who it is from, as far as that can be known
  std::string id{};    // by which log lines name it; given by whoever answers it

  std::string_view path() const;  // of the target in its usual or absolute form, without the query
  // What is asked for: the path without a slash at its end, and without the `/realtime/v1` that SDKs put before it when
  // they are pointed at the server itself.
  std::string_view resource() const;
  std::string_view query() const;  // without the question mark; empty when there is none
  // The first header of that (lower-case) name.
  std::optional<std::string_view> header(std::string_view name) const;
  // Whether a comma-separated list header has the token, ignoring ASCII case.
  bool has_token(std::string_view name, std::string_view token) const;
  // The host without port, in lower case; empty when there is none.
  std::string host() const;
};

struct Response {
  int status = 200;
  std::vector<Header> headers;  // without content-length, connection and date, which are added
  std::string body;
  std::shared_ptr<const std::string> shared_body{};  // instead of `body`, where many are sent the same

  static Response text(int status, std::string body);
  static Response json(int status, std::string body);
};

enum class BodyOf : std::uint8_t { kGet, kHead };  // a response to HEAD has the headers of GET and no body

// The bytes of the response, but for a shared body. `date` is the value of the Date header.
std::string serialize(const Response& response, BodyOf kind, bool keep_alive, std::string_view date);

// An IMF-fixdate (RFC 9110 5.6.7).
std::string http_date(std::int64_t unix_seconds);

// The pairs of a query string, percent-decoded, `+` read as a space, in order. A broken percent sequence stays as it
// is.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

std::string ascii_lower(std::string_view text);

// Whether the client takes a JSON answer, which it does where it does not say.
bool accepts_json(const Request& request);

// Without the spaces and tabs around it (optional white space, RFC 9110 5.6.3).
std::string_view trimmed(std::string_view text);

}  // namespace rt::http
