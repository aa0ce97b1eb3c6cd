// Clients that send one request after the other, each on a connection that it keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rt::load {

class HttpLoad {
 public:
  static Result<HttpLoad> connect(std::uint16_t port, std::size_t connections);
  ~HttpLoad();
  HttpLoad(HttpLoad&& other) noexcept = default;
  HttpLoad(const HttpLoad&) = delete;
  HttpLoad& operator=(const HttpLoad&) = delete;

  // Sends the request so many times in all, one at a time on each connection. Any other status is an error.
  Result<void> run(std::string_view request, std::size_t times, int expected_status);
  // Of the last response.
  const std::string& body() const { return body_; }

 private:
  struct Connection {
    int fd;
    std::string received;
    bool is_waiting = false;
  };

  HttpLoad() = default;
  Result<bool> take_response(Connection& connection, const std::string& status_line);

  std::vector<Connection> connections_;
  std::string body_;
};

}  // namespace rt::load
