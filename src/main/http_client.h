// One HTTP request to a server of ours, for commands: it blocks until the answer is there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rt::app {

struct HttpCall {
  std::string method;
  std::string url;  // http://host[:port], without a path
  std::string path;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct HttpAnswer {
  int status = 0;
  std::string body;
};

// Gives up after 30 seconds. The error says whom it could not reach, and why.
Result<HttpAnswer> call_http(const HttpCall& call);

}  // namespace rt::app
