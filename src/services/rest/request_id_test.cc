#include "services/rest/request_id.h"

#include <doctest/doctest.h>

namespace rt::rest {
namespace {

std::string id(std::vector<http::Header> headers, std::string_view key = "request-id") {
  SystemRandom random;
  return request_id({.headers = std::move(headers)}, key, random);
}

bool is_fresh(const std::string& id) {
  return id.size() == 24 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

TEST_CASE("the id in the baggage is the id of the request, if it is fit for a log [H-005]") {
  CHECK(id({{"baggage", "request-id=1234567890"}}) == "1234567890");
  CHECK(id({{"baggage", "a=b, request-id = with%20space%21 ;p=1,c=d"}}) == "with space!");
  CHECK(id({{"baggage", "a=b"}, {"baggage", "request-id=1234567890"}}) == "1234567890");
  CHECK(id({{"baggage", "request-id=" + std::string(200, 'x')}}) == std::string(200, 'x'));
  for (const char* value : {"123456789", "123456789%0A0", "123456789%1B0", "123456789%090", "123456789%FF0",
                            "123456789%C2%850", "123456789%zz0", ""}) {
    CAPTURE(value);
    CHECK(is_fresh(id({{"baggage", std::string("request-id=") + value}})));
  }
  CHECK(is_fresh(id({{"baggage", "request-id=" + std::string(201, 'x')}})));
}

TEST_CASE("only the configured entry of the baggage counts [H-006]") {
  CHECK(id({{"baggage", "sb-request-id=1234567890"}}, "sb-request-id") == "1234567890");
  CHECK(is_fresh(id({{"baggage", "request-id=1234567890"}}, "sb-request-id")));
}

TEST_CASE("without one an x-request-id of a fit length is kept, and else there is a fresh one each time [H-007]") {
  const std::string given(20, 'a');
  CHECK(id({{"x-request-id", given}}) == given);
  CHECK(id({{"x-request-id", given}, {"baggage", "request-id=1234567890"}}) == "1234567890");
  CHECK(is_fresh(id({{"x-request-id", given.substr(1)}})));
  CHECK(is_fresh(id({{"x-request-id", std::string(201, 'a')}})));
  CHECK(is_fresh(id({{"x-request-id", given + "\x01"}})));
  CHECK(id({}) != id({}));
}

}  // namespace
}  // namespace rt::rest
