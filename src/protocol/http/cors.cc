#include "protocol/http/cors.h"

namespace rt::http {

void allow_any_origin(Response& response) { response.headers.push_back({"access-control-allow-origin", "*"}); }

Response preflight(const Request& request, std::string_view methods) {
  Response response{.status = 204};
  allow_any_origin(response);
  response.headers.push_back({"access-control-allow-methods", std::string(methods)});
  response.headers.push_back({"access-control-max-age", "86400"});
  if (const auto headers = request.header("access-control-request-headers"))
    response.headers.push_back({"access-control-allow-headers", std::string(*headers)});
  return response;
}

}  // namespace rt::http
