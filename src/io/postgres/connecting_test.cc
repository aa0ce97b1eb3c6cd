// Against a real Postgres, and against servers that are none.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <vector>

#include "testing/postgres_loop.h"

namespace rt::postgres {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using testing::only_field;
using testing::PostgresCluster;
using testing::PostgresLoop;
using testing::query;

struct FixedResolver final : Resolver {
  void resolve(const std::string&, AddressFamily, Done done) override {
    if (!addresses.empty()) done(addresses);
  }
  std::vector<std::string> addresses;  // none: it never answers
};

// Takes connections and says to each what it is told to when the client has sent its first message, and the rest when
// it has sent the next.
struct FakeServer {
  FakeServer(asio::io_context& loop, std::string what)
      : io(loop), acceptor(io, {asio::ip::address_v4::loopback(), 0}), says(std::move(what)) {
    accept();
  }
  void accept() {
    acceptor.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
      if (error) return;
      sockets.push_back(std::make_unique<tcp::socket>(std::move(socket)));
      answer(*sockets.back());
      accept();
    });
  }
  void answer(tcp::socket& socket) {
    socket.async_read_some(asio::buffer(scratch), [this, &socket](const boost::system::error_code& error, std::size_t) {
      if (error) return;
      boost::system::error_code ignored;
      asio::write(socket, asio::buffer(says), ignored);
      if (closes) return socket.close();
      if (then.empty()) return;
      socket.async_read_some(asio::buffer(scratch), [this, &socket](const boost::system::error_code&, std::size_t) {
        asio::async_write(socket, asio::buffer(then), [](const boost::system::error_code&, std::size_t) {});
      });
    });
  }
  ConnectionSettings settings() const {
    return {.host = "127.0.0.1",
            .port = std::to_string(acceptor.local_endpoint().port()),
            .database = "d",
            .user = "u",
            .tls = TlsMode::kOff};
  }

  asio::io_context& io;
  tcp::acceptor acceptor;
  std::string says;
  std::string then{};
  bool closes = false;
  std::vector<char> scratch = std::vector<char>(4096);
  std::vector<std::unique_ptr<tcp::socket>> sockets;
};

std::string message(char type, const std::string& body) {
  const std::uint32_t length = htonl(static_cast<std::uint32_t>(body.size() + 4));
  return std::string(1, type) + std::string(reinterpret_cast<const char*>(&length), 4) + body;
}

// A login without a password, as far as the client is concerned.
std::string welcome(const std::string& version) {
  using namespace std::string_literals;
  return message('R', "\0\0\0\0"s) + message('S', "server_version\0"s + version + "\0"s) + message('Z', "I");
}

// A port whose queue of connections is full: the kernel drops what else knocks, like a firewall.
struct DropsSyns {
  explicit DropsSyns(const char* ip, std::uint16_t port = 0) {
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = inet_addr_of(ip);
    REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(listen(listener, 0) == 0);
    socklen_t length = sizeof(address);
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    for (int i = 0; i < 4; ++i) {
      knocking.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      (void)connect(knocking.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    }
  }
  ~DropsSyns() {
    for (const int fd : knocking) close(fd);
    close(listener);
  }
  static in_addr_t inet_addr_of(const char* ip) { return htonl(asio::ip::make_address_v4(ip).to_uint()); }
  std::string port() const { return std::to_string(ntohs(address.sin_port)); }

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  std::vector<int> knocking;
};

PgError failure(PostgresLoop& loop, const ConnectionSettings& settings) {
  const auto connection = loop.try_open(settings);
  REQUIRE_FALSE(connection);
  CHECK(connection.error().message.find(PostgresCluster::kPassword) == std::string::npos);
  return connection.error();
}

TEST_CASE("after the login it is known what the server is") {
  PostgresLoop loop;
  const auto connection = loop.open();
  const ServerInfo server = connection->server();
  CHECK(server.version >= 150'000);
  CHECK(server.backend_pid > 0);
  CHECK(server.is_encrypted);
  CHECK_FALSE(server.is_standby);
  CHECK_FALSE(server.is_read_only);
}

TEST_CASE("a read-only database is known as such without asking") {
  PostgresLoop loop;
  const auto before = loop.open();
  const PostgresCluster::Setting changed(PostgresCluster::shared(), "default_transaction_read_only", "on");
  CHECK(loop.open()->server().is_read_only);
  CHECK(loop.run(before->run(query("SELECT 1"))));
  CHECK(loop.run(before->run(query("SELECT 1"))));  // a session looks at its settings after a statement
  CHECK(before->server().is_read_only);
}

TEST_CASE("sessions have the settings that our readers of values count on, and a name") {
  PostgresLoop loop;
  PostgresCluster::shared().sql(
      "ALTER ROLE postgres SET datestyle = 'German'; ALTER ROLE postgres SET bytea_output = "
      "'escape'; ALTER ROLE postgres SET timezone = 'Asia/Tokyo'");
  auto settings = PostgresLoop::settings();
  settings.application_name = "realtime_connect";
  settings.statement_timeout = milliseconds(4321);
  settings.lock_timeout = milliseconds(1234);
  const auto connection = loop.open(settings);
  const auto reply = loop.run(connection->run(query(
      "SELECT concat_ws(' ', current_setting('datestyle'), current_setting('bytea_output'), "
      "current_setting('client_encoding'), current_setting('row_security'), current_setting('extra_float_digits'), "
      "current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('timezone'), "
      "(SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()))")));
  CHECK(only_field(reply) == "ISO, MDY hex UTF8 on 1 4321ms 1234ms Asia/Tokyo realtime_connect");
  PostgresCluster::shared().sql("ALTER ROLE postgres RESET ALL");
}

TEST_CASE("without TLS, and by either family of addresses") {
  PostgresLoop loop;
  auto settings = PostgresLoop::settings();
  settings.tls = TlsMode::kOff;
  for (const AddressFamily family :
       {AddressFamily::kAny, AddressFamily::kV4, AddressFamily::kV6, AddressFamily::kV6ThenV4}) {
    settings.family = family;
    settings.host = family == AddressFamily::kV6 ? "::1" : "127.0.0.1";
    const auto connection = loop.open(settings);
    CHECK_FALSE(connection->server().is_encrypted);
    const auto reply = loop.run(connection->run(query("SELECT family(inet_server_addr())::text")));
    CHECK(only_field(reply) == (family == AddressFamily::kV6 ? "6" : "4"));
  }
  settings.family = AddressFamily::kV6;
  settings.host = "127.0.0.1";
  const PgError error = failure(loop, settings);
  CHECK(error.kind == ErrorClass::kUnreachable);
  CHECK(error.message.find("127.0.0.1") != std::string::npos);
}

TEST_CASE("by a Unix socket") {
  PostgresLoop loop;
  auto settings = PostgresLoop::settings();
  settings.host = PostgresCluster::shared().socket_directory();
  settings.tls = TlsMode::kOff;
  CHECK(only_field(loop.run(loop.open(settings)->run(query("SELECT inet_server_addr()")))) == "NULL");
}

TEST_CASE("a certificate is believed where its authority is known and it is for the host") {
  PostgresLoop loop;
  PostgresCluster& cluster = PostgresCluster::shared();
  auto settings = PostgresLoop::settings();
  settings.tls = TlsMode::kVerified;
  settings.ca_file = cluster.certificate();
  CHECK(loop.open(settings)->server().is_encrypted);
  settings.ca_file = cluster.other_certificate();
  CHECK(failure(loop, settings).kind == ErrorClass::kTls);
  settings.ca_file = cluster.certificate();
  settings.host = "127.0.0.1";  // it is for localhost
  CHECK(failure(loop, settings).kind == ErrorClass::kTls);
  settings.ca_file = "/dev/null/nothing.pem";
  CHECK(failure(loop, settings).kind == ErrorClass::kTls);
}

TEST_CASE("who wants TLS never talks in plain text to a server that has none") {
  PostgresLoop loop;
  const PostgresCluster::Setting changed(PostgresCluster::shared(), "ssl", "off");
  const PgError error = failure(loop, PostgresLoop::settings());
  CHECK(error.kind == ErrorClass::kTls);
  CHECK(error.message.find("does not support SSL") != std::string::npos);
}

TEST_CASE("a refused login says why") {
  PostgresLoop loop;
  auto settings = PostgresLoop::settings();
  settings.password = "wrong";
  PgError error = failure(loop, settings);
  CHECK(error.kind == ErrorClass::kAuthentication);
  CHECK(error.sqlstate == "28P01");
  CHECK(error.message == "password authentication failed for user \"postgres\"");
  settings = PostgresLoop::settings();
  settings.database = "nothing";
  error = failure(loop, settings);
  CHECK(error.kind == ErrorClass::kRefused);
  CHECK(error.sqlstate == "3D000");
  settings = PostgresLoop::settings();
  settings.user = "nobody";
  CHECK(failure(loop, settings).kind == ErrorClass::kAuthentication);
}

TEST_CASE("nobody listens") {
  PostgresLoop loop;
  auto settings = PostgresLoop::settings();
  settings.host = "127.0.0.3";
  const PgError error = failure(loop, settings);
  CHECK(error.kind == ErrorClass::kUnreachable);
  CHECK(error.message.find("Connection refused") != std::string::npos);
}

TEST_CASE("a name without an address") {
  PostgresLoop loop;
  auto settings = PostgresLoop::settings();
  settings.host = "no such host";
  const PgError error = failure(loop, settings);
  CHECK(error.kind == ErrorClass::kUnreachable);
  CHECK(error.message.find("no such host") != std::string::npos);
}

TEST_CASE("a resolver that hangs costs the time-out") {
  PostgresLoop loop;
  FixedResolver hangs;
  auto settings = PostgresLoop::settings();
  settings.connect_timeout = milliseconds(50);
  const auto connection = loop.run(Connection::open({loop.io, hangs, loop.canceller}, settings));
  REQUIRE_FALSE(connection);
  CHECK(connection.error().kind == ErrorClass::kTimeOut);
  CHECK(connection.error().message == "no answer in time: waited for the address of localhost");
}

TEST_CASE("a resolver may answer when nobody waits any more") {
  struct Late final : Resolver {
    void resolve(const std::string&, AddressFamily, Done what) override { done = std::move(what); }
    Done done;
  };
  PostgresLoop loop;
  Late late;
  auto settings = PostgresLoop::settings();
  settings.connect_timeout = milliseconds(1);
  REQUIRE_FALSE(loop.run(Connection::open({loop.io, late, loop.canceller}, settings)));
  late.done(std::vector<std::string>{"127.0.0.1"});
}

TEST_CASE("a host that drops packets costs the time-out, and its other addresses have their share of it") {
  PostgresLoop loop;
  const DropsSyns nowhere("127.0.0.2");
  auto settings = PostgresLoop::settings();
  settings.host = "127.0.0.2";
  settings.port = nowhere.port();
  settings.connect_timeout = milliseconds(100);
  CHECK(failure(loop, settings).kind == ErrorClass::kTimeOut);

  const DropsSyns beside("127.0.0.2", static_cast<std::uint16_t>(std::stoi(PostgresCluster::shared().port())));
  FixedResolver both;
  both.addresses = {"127.0.0.2", "127.0.0.1"};
  settings = PostgresLoop::settings();
  settings.connect_timeout = milliseconds(3'000);
  CHECK(loop.run(Connection::open({loop.io, both, loop.canceller}, settings)).has_value());
}

TEST_CASE("a server that takes the connection and is silent costs the time-out") {
  PostgresLoop loop;
  const FakeServer server(loop.io, "");
  auto settings = server.settings();
  settings.connect_timeout = milliseconds(50);
  const PgError error = failure(loop, settings);
  CHECK(error.kind == ErrorClass::kTimeOut);
  CHECK(error.message == "no answer in time: waited for 127.0.0.1:" + settings.port);
}

TEST_CASE("connecting can be given up at once") {
  PostgresLoop loop;
  const FakeServer server(loop.io, "");
  const auto cancellation = std::make_shared<Cancellation>();
  std::optional<Result<std::unique_ptr<Connection>>> opened;
  loop.begin(Connection::open(loop.surroundings, server.settings(), {}, cancellation), opened);
  loop.until([&] { return !server.sockets.empty(); });
  loop.on_loop([&] { cancellation->cancel(); });
  loop.until([&] { return opened.has_value(); });
  REQUIRE_FALSE(*opened);
  CHECK(opened->error().kind == ErrorClass::kCancelled);
}

TEST_CASE("a server that is none, or hangs up, is an error") {
  PostgresLoop loop;
  const FakeServer http(loop.io, "HTTP/1.1 400 Bad Request\r\n\r\n");
  CHECK(failure(loop, http.settings()).kind == ErrorClass::kUnreachable);
  FakeServer closes(loop.io, "");
  closes.closes = true;
  CHECK(failure(loop, closes.settings()).kind == ErrorClass::kUnreachable);
}

TEST_CASE("a server that is too old, or does not say what it is, is refused") {
  PostgresLoop loop;
  const FakeServer old(loop.io, welcome("13.4 (Debian)"));
  PgError error = failure(loop, old.settings());
  CHECK(error.kind == ErrorClass::kUnsupported);
  CHECK(error.message.find("runs Postgres '13.4 (Debian)': 14 or later is needed") != std::string::npos);
  const FakeServer odd(loop.io, welcome("banana\n"));
  error = failure(loop, odd.settings());
  CHECK(error.kind == ErrorClass::kUnsupported);
  CHECK(error.message.find("as its version it says 'banana'") != std::string::npos);
  const FakeServer current(loop.io, welcome("18.1"));
  CHECK(loop.open(current.settings())->server().version == 180'001);
}

TEST_CASE("a row larger than the limit is not gathered") {
  using namespace std::string_literals;
  PostgresLoop loop;
  FakeServer server(loop.io, welcome("15.1"));
  const std::string column =
      "\0\1"
      "c\0"
      "\0\0\0\0"
      "\0\0"
      "\0\0\0\x19"
      "\xff\xff"
      "\xff\xff\xff\xff"
      "\0\0"s;
  // The head of a row of 800 MiB, and some of it.
  server.then = message('1', "") + message('2', "") + message('T', column) +
                "D"
                "\x32\0\0\0"
                "\0\1"
                "\x31\xff\xff\xf6"s +
                std::string(8'000'000, 'x');
  const auto connection = loop.open(server.settings());
  Batch batch{.statements = {{.sql = "SELECT 1", .plan = Plan::kOnce}}};
  batch.limits.bytes = 1'000'000;
  const auto reply = loop.run(connection->run(batch));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind == ErrorClass::kResultTooLarge);
  CHECK(reply.error().message == "a row has more than 1000000 bytes");
  CHECK_FALSE(connection->is_open());
}

TEST_CASE("a server that acknowledges and does not answer is given up") {
  PostgresLoop loop;
  const FakeServer server(loop.io, welcome("15.1"));
  auto settings = server.settings();
  settings.statement_timeout = milliseconds(30);
  settings.answer_grace = milliseconds(30);
  const auto connection = loop.open(settings);
  const auto reply = loop.run(connection->run(query("SELECT 1")));
  REQUIRE_FALSE(reply);
  CHECK(reply.error().kind == ErrorClass::kTimeOut);
  CHECK(reply.error().outcome_unknown);
  CHECK_FALSE(connection->is_open());
}

}  // namespace
}  // namespace rt::postgres
