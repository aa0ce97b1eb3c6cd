#include "load/http_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "load/interrupt.h"

namespace rt::load {
namespace {

constexpr int kTimeoutMs = 10'000;

Result<int> connected_socket(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return fail(std::string("cannot connect for HTTP: ") + std::strerror(errno));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// 0 where there is none.
std::size_t content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\ncontent-length: ";
  const std::size_t at = head.find(kName);
  std::size_t length = 0;
  if (at != std::string_view::npos) std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
  return length;
}

}  // namespace

Result<HttpLoad> HttpLoad::connect(std::uint16_t port, std::size_t connections) {
  HttpLoad load;
  while (load.connections_.size() < connections) {
    const auto fd = connected_socket(port);
    if (!fd) return tl::make_unexpected(fd.error());
    load.connections_.push_back({.fd = *fd});
  }
  return load;
}

HttpLoad::~HttpLoad() {
  for (const Connection& connection : connections_) close(connection.fd);
}

Result<void> HttpLoad::run(std::string_view request, std::size_t times, int expected_status) {
  const std::string status_line = "HTTP/1.1 " + std::to_string(expected_status) + " ";
  std::vector<pollfd> polled;
  for (const Connection& connection : connections_) polled.push_back({.fd = connection.fd, .events = POLLIN});
  std::size_t sent = 0;
  for (std::size_t answered = 0; answered < times;) {
    for (Connection& connection : connections_) {
      if (connection.is_waiting || sent == times) continue;
      if (send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        return fail(std::string("cannot send a request: ") + std::strerror(errno));
      connection.is_waiting = true;
      ++sent;
    }
    if (poll(polled.data(), polled.size(), kTimeoutMs) <= 0) return fail("no response in 10 s");
    if (const auto go_on = not_interrupted(); !go_on) return go_on;
    for (std::size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const auto taken = take_response(connections_[i], status_line);
      if (!taken) return tl::make_unexpected(taken.error());
      if (!*taken) continue;
      connections_[i].is_waiting = false;
      ++answered;
    }
  }
  return {};
}

// False: it is not complete yet.
Result<bool> HttpLoad::take_response(Connection& connection, const std::string& status_line) {
  char bytes[16 * 1024];
  const ssize_t count = recv(connection.fd, bytes, sizeof(bytes), 0);
  if (count <= 0) return fail("the server ended a kept connection");
  std::string& received = connection.received;
  received.append(bytes, static_cast<std::size_t>(count));
  const std::size_t end = received.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  if (!received.starts_with(status_line)) return fail("not the expected response: " + received);
  const std::size_t length = end + 4 + content_length(std::string_view(received).substr(0, end));
  if (received.size() < length) return false;
  body_.assign(received, end + 4, length - end - 4);
  received.erase(0, length);
  return true;
}

}  // namespace rt::load
