#include "load/baseline_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace rt::load {
namespace {

// The child's copies of our sockets would keep connections open that we have closed.
void close_all_but(int& first, int& second) {
  const int low = fcntl(first, F_DUPFD, 100);
  const int high = fcntl(second, F_DUPFD, 100);
  first = dup2(low, 3);
  second = dup2(high, 4);
  close_range(5, ~0U, 0);
}

std::vector<int> accept_all(int listener, std::size_t count) {
  std::vector<int> connections;
  while (connections.size() < count) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) _exit(1);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    connections.push_back(fd);
  }
  return connections;
}

void send_all(int connection, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) _exit(1);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    pollfd writable{.fd = connection, .events = POLLOUT, .revents = 0};
    poll(&writable, 1, -1);
  }
}

void run_baseline(int listener, int control, std::size_t count, std::string_view bytes_per_send) {
  close_all_but(listener, control);
  const std::vector<int> connections = accept_all(listener, count);
  for (char command; read(control, &command, 1) == 1;) {
    for (const int connection : connections) send_all(connection, bytes_per_send);
  }
}

Result<int> listening_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(fd, SOMAXCONN) == 0)
    return fd;
  return fail(std::string("cannot listen for the baseline: ") + std::strerror(errno));
}

std::uint16_t port_of(int listener) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

Result<std::unique_ptr<BaselineProcess>> BaselineProcess::start(const Cores& cores, std::size_t connections,
                                                                std::string_view bytes_per_send) {
  const auto listener = listening_socket();
  if (!listener) return tl::make_unexpected(listener.error());
  int control[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) != 0)
    return fail(std::string("cannot make a socket pair: ") + std::strerror(errno));

  auto child = Child::fork(cores, [&] { run_baseline(*listener, control[1], connections, bytes_per_send); });
  const std::uint16_t port = port_of(*listener);
  close(*listener);
  close(control[1]);
  if (!child) {
    close(control[0]);
    return tl::make_unexpected(child.error());
  }
  return std::unique_ptr<BaselineProcess>(new BaselineProcess(std::move(*child), control[0], port));
}

BaselineProcess::BaselineProcess(std::unique_ptr<Child> child, int control, std::uint16_t port)
    : child_(std::move(child)), control_(control), port_(port) {}

BaselineProcess::~BaselineProcess() { close(control_); }

Result<void> BaselineProcess::send_to_all() {
  if (send(control_, "!", 1, MSG_NOSIGNAL) != 1) return fail("the baseline process is gone");
  return {};
}

}  // namespace rt::load
