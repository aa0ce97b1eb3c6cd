#include "main/request_failure.h"

#include <doctest/doctest.h>

namespace rt::app {
namespace {

using http::Response;

std::string logged(const Response& response, std::string target = "/api/broadcast?apikey=secret") {
  const auto failure = failure_of({.method = "POST", .target = std::move(target)}, response);
  return failure ? std::string(failure->code) + ": " + failure->text : "";
}

TEST_CASE("a request that failed says why in the log, one that was refused does not") {
  CHECK(logged(Response::json(422, R"({"errors":{"messages":["can't be blank"]}})")) ==
        R"(UnprocessableEntity: {"errors":{"messages":["can't be blank"]}})");
  CHECK(logged(Response::json(404, "\"Not Found\""), "/nowhere?token=secret") ==
        "HttpClientError: Sent 404 response: \"Not Found\" to POST /nowhere");
  CHECK(logged(Response::json(503, R"({"message":"no store"})"), "/api/tenants/x") ==
        R"(HttpServerError: Sent 503 response: {"message":"no store"} to POST /api/tenants/x)");
  CHECK(logged(Response::json(404, R"({"message":"not found"})"), "/api/tenants/x") ==
        "TenantNotFound: no tenant has the name in the path");
  CHECK(logged(Response::json(403, R"({"message":"Tenant is suspended"})")).empty());
  CHECK(logged(Response::json(429, R"({"message":"Too many requests"})")).empty());
  CHECK(logged({.status = 403}).empty());
  CHECK(logged({.status = 202}).empty());
  CHECK(logged(Response::text(503, "draining\n"), "/readyz").empty());
  CHECK(failure_of({.method = "GET", .target = "/x"}, Response::json(404, "\"Not Found\""))->level ==
        LogLevel::kWarning);
}

}  // namespace
}  // namespace rt::app
