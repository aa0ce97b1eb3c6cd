#include "protocol/http/header_object.h"

#include <doctest/doctest.h>

namespace rt::http {
namespace {

TEST_CASE("policies see the headers of an application, the last of equal ones, and no credential") {
  const Request request{.headers = {{"host", "acme.test"},
                                    {"x-tenant", "a"},
                                    {"x-api-key", "secret"},
                                    {"x-tenant", "say \"b\""},
                                    {"x-broken", "\xff"}}};
  CHECK(header_object(request, HeaderChoice::kExtensions) == R"({"x-tenant":"say \"b\""})");
  CHECK(header_object({}, HeaderChoice::kExtensions) == "{}");
}

TEST_CASE("where all headers are asked for they all are there") {
  const Request request{.headers = {{"host", "acme.test"}, {"x-tenant", "a"}}};
  CHECK(header_object(request, HeaderChoice::kAll) == R"({"host":"acme.test","x-tenant":"a"})");
}

}  // namespace
}  // namespace rt::http
