#include "main/request_failure.h"

namespace rt::app {
namespace {

// What is wrong with a request as such (its form, its path, its type) is answered by a bare JSON string, unlike what is
// wrong with what it asks for (http-api.md 1.5).
bool is_reason_phrase(std::string_view body) { return body.starts_with('"'); }

}  // namespace

std::optional<RequestFailure> failure_of(const http::Request& request, const http::Response& response) {
  const int status = response.status;
  if (status == 422) return RequestFailure{LogLevel::kError, "UnprocessableEntity", response.body};
  const std::string_view resource = request.resource();
  if (status == 404 && !is_reason_phrase(response.body) && resource.starts_with("/api/tenants/"))
    return RequestFailure{LogLevel::kError, "TenantNotFound", "no tenant has the name in the path"};
  const bool is_server_fault = status >= 500 && resource != "/readyz";  // which tells how the node is
  if (!is_server_fault && !(status >= 400 && status < 500 && is_reason_phrase(response.body))) return std::nullopt;
  std::string text = "Sent " + std::to_string(status) + " response: " + response.body;
  text.append(" to ").append(request.method).append(" ").append(request.path());
  return is_server_fault ? RequestFailure{LogLevel::kError, "HttpServerError", std::move(text)}
                         : RequestFailure{LogLevel::kWarning, "HttpClientError", std::move(text)};
}

}  // namespace rt::app
