// What a request that failed adds to the log besides its status (errors.md 5).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "protocol/http/request.h"

namespace rt::app {

struct RequestFailure {
  LogLevel level = LogLevel::kError;
  std::string_view code;
  std::string text;
};

// nullopt: nothing. Refusals of those who may not, or not so fast, are no failures.
std::optional<RequestFailure> failure_of(const http::Request& request, const http::Response& response);

}  // namespace rt::app
