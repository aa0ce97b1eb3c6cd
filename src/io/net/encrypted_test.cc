// Connections that speak TLS, by real sockets: what the worker encrypts itself, and what the kernel does where it can.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/net/send_batch.h"
#include "io/net/tls.h"
#include "io/net/uring_batch.h"
#include "io/net/worker.h"
#include "testing/certificate.h"
#include "testing/temporary_directory.h"

namespace rt::net {
namespace {

// `/N` is answered with a body of N bytes, `/socket` with a WebSocket that says what it hears.
class Answers final : public RequestHandler, public MessageHandler {
 public:
  void on_request(Worker& worker, ConnectionId connection, http::Request request) override {
    if (request.target == "/socket") {
      worker_ = &worker;
      return worker.upgrade(connection, "HTTP/1.1 101 Switching Protocols\r\n\r\n", {}, *this);
    }
    const std::size_t size = std::strtoull(request.target.c_str() + 1, nullptr, 10);
    worker.respond(connection, http::Response::text(200, std::string(size, 'x')));
  }
  void on_answered(Worker&, ConnectionId, std::optional<int>) override {}
  void on_refused(Worker&, const IpAddress&, Expected, const http::Refusal&) override {}
  Reading on_message(ConnectionId connection, ws::Opcode opcode, std::string_view payload) override {
    worker_->send(connection, FrameRef(ws::make_frame(opcode, {payload})));
    return Reading::kGoOn;
  }
  void on_closed(ConnectionId) override {}

 private:
  Worker* worker_ = nullptr;
};

class Call final : public Mail {
 public:
  explicit Call(std::function<void()> what) : what_(std::move(what)) {}
  void deliver() override { what_(); }

 private:
  std::function<void()> what_;
};

// Who encrypts, and how it is sent.
struct Way {
  KernelTls kernel;
  bool by_uring = false;
};

// Those that this machine has; `./dev kernel-tls` runs this where there is a kernel for all of them.
std::vector<Way> ways() {
  std::vector<KernelTls> kernels{KernelTls()};
  if (const auto kernel = KernelTls::probe()) {
    kernels.push_back(*kernel);
  } else {
    MESSAGE("kernel TLS is not tested, this machine has none: " << kernel.error().message);
    REQUIRE(std::getenv("RT_TEST_KERNEL_TLS") == nullptr);
  }
  std::vector<Way> out;
  for (const KernelTls& kernel : kernels) {
    out.push_back({.kernel = kernel, .by_uring = false});
    if (make_uring_batch()) out.push_back({.kernel = kernel, .by_uring = true});
  }
  return out;
}

class Server {
 public:
  explicit Server(const Way& way)
      : identity_(load(directory_.path(), way.kernel)),
        worker(0, {}, clock_, answers_, make_batch(way)),
        thread_([this] { worker.run(); }) {}
  ~Server() {
    worker.stop();
    thread_.join();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The client's end of a new connection. The kernel holds little for it: as the listener has it, and a small window.
  int connect() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(listener >= 0);
    REQUIRE(theirs >= 0);
    constexpr int kWindowBytes = 16 * 1024;
    constexpr int kUnsentBytesMax = 64 * 1024;
    setsockopt(theirs, SOL_SOCKET, SO_RCVBUF, &kWindowBytes, sizeof kWindowBytes);
    setsockopt(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytesMax, sizeof kUnsentBytesMax);
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener, 1) == 0);
    REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(::connect(theirs, reinterpret_cast<sockaddr*>(&address), size) == 0);
    const int ours = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    REQUIRE(ours >= 0);
    ::close(listener);
    worker.adopt(ours, IpAddress{}, identity_);
    return theirs;
  }

  // What was said was heard, and what there is to say was offered to the kernel.
  void await_turn() {
    const std::uint64_t before = turns();
    while (turns() < before + 3) {
      worker.post(std::make_unique<Call>([] {}));
      std::this_thread::yield();
    }
  }
  void refuse_new_requests() {
    worker.post(std::make_unique<Call>([this] { worker.refuse_new_requests(); }));
  }

 private:
  std::uint64_t turns() const {
    HistogramCounts counts;
    worker.counters().turns.add_to(counts);
    return counts.total();
  }
  static std::shared_ptr<const TlsIdentity> load(const std::string& directory, const KernelTls& kernel) {
    const CertificateFiles files = make_certificate(directory);
    return *TlsIdentity::load({files.certificate, files.key}, kernel);
  }
  static std::unique_ptr<SendBatch> make_batch(const Way& way) {
    if (way.by_uring) return *make_uring_batch();
    return std::make_unique<SendmsgBatch>();
  }

  const SystemClock clock_;
  TemporaryDirectory directory_;
  std::shared_ptr<const TlsIdentity> identity_;
  Answers answers_;

 public:
  Worker worker;

 private:
  std::thread thread_;
};

// OpenSSL's own client, which waits for what it does.
class Client {
 public:
  explicit Client(Server& server, int version = TLS1_3_VERSION)
      : fd_(server.connect()), context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL's sockets do not ask for its absence
    const timeval patience{.tv_sec = 60, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL_set_min_proto_version(ssl_, version);
    SSL_set_max_proto_version(ssl_, version);
    SSL_set_fd(ssl_, fd_);
    REQUIRE(done([this] { return SSL_connect(ssl_); }));
  }
  ~Client() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    ::close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void say(const std::string& text) {
    REQUIRE(SSL_write(ssl_, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
  }
  void ask(const std::string& target, const std::string& headers = "") {
    say("GET " + target + " HTTP/1.1\r\nhost: h\r\n" + headers + "\r\n");
  }
  void ask_for_new_keys() {
    REQUIRE(SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) == 1);
    REQUIRE(SSL_do_handshake(ssl_) == 1);
  }
  void end_its_side() {
    SSL_shutdown(ssl_);
    REQUIRE(shutdown(fd_, SHUT_WR) == 0);
  }
  // Up to its end.
  std::string hears(std::size_t bytes) {
    std::string out(bytes, '\0');
    std::size_t heard = 0;
    std::size_t some = 0;
    while (heard < bytes && done([&] { return SSL_read_ex(ssl_, out.data() + heard, bytes - heard, &some); }))
      heard += some;
    out.resize(heard);
    return out;
  }
  // The head and the body of an answer.
  std::string hears_body(std::size_t bytes) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      const std::string next = hears(1);
      REQUIRE_MESSAGE(next.size() == 1, head);
      head += next;
    }
    return hears(bytes);
  }
  // The server said so, instead of just going away.
  bool hears_the_end() { return hears(1).empty() && (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  void say_garbage() const {
    const std::string record = std::string("\x17\x03\x03\x00\x40", 5) + std::string(64, 'x');
    REQUIRE(send(fd_, record.data(), record.size(), 0) == static_cast<ssize_t>(record.size()));
  }
  // What the server said before it went; RFC 8446 6.
  int hears_alert() {
    CHECK(hears(1).empty());
    return ERR_GET_REASON(ERR_peek_error()) - SSL_AD_REASON_OFFSET;
  }
  // It went away, whatever it said before.
  bool is_left() const {
    char bytes[1000];
    ssize_t got = 0;
    while ((got = TEMP_FAILURE_RETRY(recv(fd_, bytes, sizeof bytes, 0))) > 0) {
    }
    return got == 0;
  }

 private:
  // A ring that is closed on this thread may interrupt what it does next.
  template <class What>
  static bool done(What what) {
    int result = 0;
    do {
      ERR_clear_error();
      errno = 0;
      result = what();
    } while (result != 1 && errno == EINTR);
    return result == 1;
  }

  int fd_;
  SSL_CTX* context_;
  SSL* ssl_;
};

template <class Test>
void for_each_way(Test test) {
  for (const Way& way : ways()) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      CAPTURE(way.kernel.takes_any());
      CAPTURE(way.by_uring);
      CAPTURE(version);
      test(way, version);
    }
  }
}

// Around what the kernel holds for a client that does not read.
constexpr std::size_t kSizes[] = {1,       20'000,  60'000,  80'000,  90'000, 100'000,
                                  110'000, 120'000, 150'000, 200'000, 400'000};

}  // namespace

TEST_CASE("the kernel encrypts for each connection where it can, and is counted") {
  for_each_way([](const Way& way, int version) {
    Server server(way);
    for (int n = 1; n <= 3; ++n) {
      Client client(server, version);
      for (int answer = 0; answer < 3; ++answer) {
        client.ask("/10");
        CHECK(client.hears_body(10) == std::string(10, 'x'));
      }
      const WorkerCounters& counters = server.worker.counters();
      CHECK(counters.tls_kernel_writers.value() == (way.kernel.takes_any() ? static_cast<std::uint64_t>(n) : 0));
      CHECK(counters.tls_kernel_refusals.value() == 0);
    }
  });
}

TEST_CASE("a large answer arrives as a whole, and behind it that it was the last") {
  for_each_way([](const Way& way, int version) {
    Server server(way);
    Client client(server, version);
    constexpr std::size_t kBytes = 3'000'000;
    client.ask("/" + std::to_string(kBytes), "connection: close\r\n");
    server.await_turn();
    CHECK(client.hears_body(kBytes) == std::string(kBytes, 'x'));
    CHECK(client.hears_the_end());
    // Without TLS, for TCP is what counts.
    CHECK(server.worker.counters().others.out.value() > kBytes);
    CHECK(server.worker.counters().others.out.value() < kBytes + 1000);
  });
}

TEST_CASE("a last answer that the kernel took and the client did not is not lost") {
  for_each_way([](const Way& way, int version) {
    for (const std::size_t size : kSizes) {
      CAPTURE(size);
      Server server(way);
      Client client(server, version);
      client.ask("/" + std::to_string(size), "connection: close\r\n");
      server.await_turn();
      CHECK(client.hears_body(size).size() == size);
      CHECK(client.hears_the_end());
    }
  });
}

TEST_CASE("nor is it where the client has ended its side, and is answered and left") {
  for_each_way([](const Way& way, int version) {
    for (const std::size_t size : kSizes) {
      CAPTURE(size);
      Server server(way);
      Client client(server, version);
      client.ask("/" + std::to_string(size));
      client.end_its_side();
      server.await_turn();
      CHECK(client.hears_body(size).size() == size);
      CHECK(client.is_left());
    }
  });
}

TEST_CASE("nor is it where the server goes") {
  for_each_way([](const Way& way, int version) {
    for (const std::size_t size : kSizes) {
      CAPTURE(size);
      Server server(way);
      Client client(server, version);
      client.ask("/" + std::to_string(size));
      server.await_turn();
      server.refuse_new_requests();
      server.await_turn();
      CHECK(client.hears_body(size).size() == size);
      CHECK(client.is_left());
    }
  });
}

TEST_CASE("a client that asks for new keys gets them, or its connection ends when it has what it asked for") {
  for_each_way([](const Way& way, int version) {
    if (version != TLS1_3_VERSION) return;
    Server server(way);
    Client busy(server, version);
    Client idle(server, version);
    for (Client* client : {&busy, &idle}) {
      client->ask("/10");
      CHECK(client->hears_body(10).size() == 10);
    }
    busy.ask("/100000");
    for (Client* client : {&busy, &idle}) client->ask_for_new_keys();
    CHECK(busy.hears_body(100'000).size() == 100'000);
    for (Client* client : {&busy, &idle}) {
      if (way.kernel.takes_any()) {
        CHECK(client->hears_the_end());
      } else {
        client->ask("/10");
        CHECK(client->hears_body(10).size() == 10);
      }
    }
    CHECK(server.worker.counters().tls_kernel_rekeys.value() == (way.kernel.takes_any() ? 2 : 0));
    CHECK(server.worker.counters().tls_broken.value() == 0);
  });
}

TEST_CASE("a WebSocket that asks the kernel for new keys is told to come again") {
  for_each_way([](const Way& way, int version) {
    if (version != TLS1_3_VERSION || !way.kernel.takes_any()) return;
    Server server(way);
    Client client(server, version);
    client.ask("/socket");
    CHECK(client.hears_body(0).empty());
    client.say(std::string("\x81\x82\0\0\0\0hi", 8));
    CHECK(client.hears(4) == "\x81\x02hi");
    client.ask_for_new_keys();
    CHECK(client.hears(4) == "\x88\x02\x03\xf4");            // 1012
    client.say(std::string("\x88\x82\0\0\0\0\x03\xf4", 8));  // and so does the client
    CHECK(client.hears_the_end());
  });
}

TEST_CASE("a client whose TLS breaks is told by an alert, whoever encrypts") {
  for_each_way([](const Way& way, int version) {
    Server server(way);
    Client client(server, version);
    client.ask("/10");
    CHECK(client.hears_body(10).size() == 10);
    client.say_garbage();
    CHECK(client.hears_alert() == SSL_AD_BAD_RECORD_MAC);
    CHECK(server.worker.counters().tls_broken.value() == 1);
  });
}

}  // namespace rt::net
