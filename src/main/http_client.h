// HTTP requests to other servers, over TLS where the URL says so: for commands, which wait for the answer, and for what
// a server sends from a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rt::app {

struct HttpCall {
  std::string method;
  std::string url;   // http[s]://host[:port]
  std::string path;  // with the query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds step_timeout{30'000};  // for connecting, for sending, and for the answer, each
  std::chrono::milliseconds total_timeout{120'000};
};

struct HttpAnswer {
  int status = 0;
  std::string body;
};

// Several calls at once, on one thread. Certificates are verified against those that the system trusts.
class HttpClient {
 public:
  // Called while wait() runs. The error says whom it could not reach, and why.
  using Done = std::function<void(Result<HttpAnswer>)>;

  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void start(const HttpCall& call, Done done);
  // Until every call has ended, or stop().
  void wait();
  // From any thread, for good: what is on its way is given up.
  void stop();

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;  // a look-up of a name that hangs may outlive the client
};

// One call, with the answer.
Result<HttpAnswer> call_http(const HttpCall& call);

}  // namespace rt::app
