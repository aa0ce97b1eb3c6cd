#include "io/net/worker.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <utility>

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

// Answers at once with a body that no socket takes as a whole, but for `/never`, which has no answer and whose client's
// end is watched for.
class Answers final : public RequestHandler {
 public:
  static constexpr std::size_t kBodyBytes = 4'000'000;

  void on_request(Worker& worker, ConnectionId connection, http::Request request) override {
    if (request.target == "/never") return worker.watch_for_end(connection);
    worker.respond(connection, http::Response::text(200, std::string(kBodyBytes, 'x') + "."));
  }
  void on_answered(Worker&, ConnectionId, std::optional<int> status) override {
    std::atomic<int>& count = status ? answered : abandoned;
    ++count;
    count.notify_all();
  }
  void on_refused(Worker&, const IpAddress&, Expected, const http::Refusal&) override {}

  static void await(const std::atomic<int>& count, int wanted) {
    for (int seen = count; seen < wanted; seen = count) count.wait(seen);
  }

  std::atomic<int> answered{0};
  std::atomic<int> abandoned{0};
};

class Call final : public Mail {
 public:
  explicit Call(std::function<void()> what) : what_(std::move(what)) {}
  void deliver() override { what_(); }

 private:
  std::function<void()> what_;
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
  void end_its_side() const { REQUIRE(shutdown(fd_, SHUT_WR) == 0); }
  // True: the server has ended the connection.
  bool hears_the_end() const {
    char byte;
    return recv(fd_, &byte, 1, 0) == 0;
  }
  // True: they are what comes next.
  bool hears(std::initializer_list<std::string> bodies) {
    std::size_t at = 0;
    for (const std::string& body : bodies) {
      // Reading takes no longer than the server waits for it: a large body is looked for once it may be there.
      while (heard_.size() < body.size() || (at = heard_.find("\r\n\r\n" + body)) == std::string::npos) {
        std::string buffer(std::size_t{1} << 18, '\0');
        const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
        if (got <= 0) return false;
        heard_.append(buffer, 0, static_cast<std::size_t>(got));
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

TEST_CASE("a worker that ends what waits for a next request sends the last answer as a whole first") {
  const SystemClock clock;
  Answers answers;
  Worker worker(0, {}, clock, answers, std::make_unique<SendmsgBatch>());
  std::thread thread([&worker] { worker.run(); });
  Client reader(worker);
  Client idle(worker);
  for (Client* client : {&reader, &idle}) client->ask({"/"});
  Answers::await(answers.answered, 2);
  CHECK(idle.hears({std::string(Answers::kBodyBytes, 'x') + "."}));
  worker.post(std::make_unique<Call>([&worker] { worker.refuse_new_requests(); }));
  CHECK(idle.hears_the_end());
  CHECK(reader.hears({std::string(Answers::kBodyBytes, 'x') + "."}));
  CHECK(reader.hears_the_end());
  worker.stop();
  thread.join();
}

TEST_CASE("the end of a client that is watched for is noticed before there is an answer for it") {
  const SystemClock clock;
  Answers answers;
  Worker worker(0, {}, clock, answers, std::make_unique<SendmsgBatch>());
  std::thread thread([&worker] { worker.run(); });
  {
    const Client goes(worker);
    goes.ask({"/never"});
  }
  Answers::await(answers.abandoned, 1);
  const Client half(worker);
  half.ask({"/never"});
  half.end_its_side();
  Answers::await(answers.abandoned, 2);
  CHECK(half.hears_the_end());
  worker.stop();
  thread.join();
  CHECK(answers.answered == 0);
}

}  // namespace
}  // namespace rt::net
