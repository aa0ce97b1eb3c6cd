#include "io/net/worker.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <string>
#include <thread>

#include "io/net/send_batch.h"

namespace rt::net {
namespace {

// `/wait` is answered when another connection asks for `/next`.
class Relay final : public RequestHandler {
 public:
  void on_request(Worker& worker, ConnectionId connection, http::Request request) override {
    deepest = std::max(deepest, ++depth_);
    if (request.target == "/wait") {
      waiting_.push_back(connection);
      ++waited;
      waited.notify_all();
    } else {
      if (!waiting_.empty()) {
        const ConnectionId first = waiting_.front();
        waiting_.pop_front();
        worker.respond(first, http::Response::text(200, "relayed"));
      }
      worker.respond(connection, http::Response::text(200, "own"));
    }
    --depth_;
  }
  void on_answered(Worker&, ConnectionId, std::optional<int>) override {}
  void on_refused(Worker&, const IpAddress&, Expected, const http::Refusal&) override {}

  std::atomic<int> waited{0};
  int deepest = 0;  // to be read when the worker has ended

 private:
  int depth_ = 0;
  std::deque<ConnectionId> waiting_;
};

class Client {
 public:
  explicit Client(Worker& worker) {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    REQUIRE(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    worker.adopt(fds[0], IpAddress{});
    fd_ = fds[1];
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void ask(std::initializer_list<std::string> targets) const {
    std::string requests;
    for (const std::string& target : targets) requests += "GET " + target + " HTTP/1.1\r\nhost: h\r\n\r\n";
    REQUIRE(::send(fd_, requests.data(), requests.size(), 0) == static_cast<ssize_t>(requests.size()));
  }
  // True: they are what comes next.
  bool hears(std::initializer_list<std::string> bodies) {
    std::size_t at = 0;
    for (const std::string& body : bodies) {
      while ((at = heard_.find("\r\n\r\n" + body)) == std::string::npos) {
        char buffer[4096];
        const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
        if (got <= 0) return false;
        heard_.append(buffer, static_cast<std::size_t>(got));
      }
      heard_.erase(0, at + 4 + body.size());
    }
    return true;
  }

 private:
  int fd_ = -1;
  std::string heard_;
};

TEST_CASE("who answers another connection is not called for its next request from inside of that") {
  const SystemClock clock;
  Relay relay;
  Worker worker(0, {}, clock, relay, std::make_unique<SendmsgBatch>());
  std::thread thread([&worker] { worker.run(); });
  std::deque<Client> chain;
  for (int n = 1; n <= 20; ++n) {
    chain.emplace_back(worker).ask({"/wait", "/next"});
    for (int seen = relay.waited; seen < n; seen = relay.waited) relay.waited.wait(seen);
  }
  Client last(worker);
  last.ask({"/next", "/next"});
  CHECK(last.hears({"own", "own"}));
  for (Client& client : chain) CHECK(client.hears({"relayed", "own"}));
  worker.stop();
  thread.join();
  CHECK(relay.deepest == 1);
}

}  // namespace
}  // namespace rt::net
