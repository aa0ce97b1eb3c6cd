#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <exception>

#include "testing/postgres_loop.h"

namespace rt::testing {

PostgresLoop::PostgresLoop()
    : owned_io_(std::make_unique<boost::asio::io_context>()),
      io(*owned_io_),
      resolver(postgres::make_resolver(io)),
      surroundings{io, *resolver, canceller} {}

PostgresLoop::~PostgresLoop() = default;

void PostgresLoop::run(postgres::Task<void> task) {
  bool ended = false;
  boost::asio::co_spawn(io, std::move(task), [&ended](const std::exception_ptr& error) { ended = !error; });
  until([&] { return ended; });
}

void PostgresLoop::spawn(postgres::Task<void> task) {
  boost::asio::co_spawn(io, std::move(task), [](const std::exception_ptr& error) { REQUIRE(!error); });
}

void PostgresLoop::until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    turn(std::chrono::milliseconds(20));
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
}

void PostgresLoop::turn(std::chrono::microseconds wait) {
  io.restart();
  io.run_one_for(wait);
}

void PostgresLoop::on_loop(const std::function<void()>& action) {
  bool done = false;
  boost::asio::post(io, [&] {
    action();
    done = true;
  });
  until([&] { return done; });
}

postgres::ConnectionSettings PostgresLoop::settings() {
  return {.host = "localhost",
          .port = PostgresCluster::shared().port(),
          .database = "postgres",
          .user = "postgres",
          .password = PostgresCluster::kPassword};
}

postgres::Result<std::unique_ptr<postgres::Connection>> PostgresLoop::try_open(
    const postgres::ConnectionSettings& how, const postgres::OnNotice& on_notice,
    std::shared_ptr<postgres::Cancellation> cancellation) {
  return run(postgres::Connection::open(surroundings, how, on_notice, std::move(cancellation)));
}

std::unique_ptr<postgres::Connection> PostgresLoop::open(const postgres::ConnectionSettings& how,
                                                         const postgres::OnNotice& on_notice) {
  auto connection = try_open(how, on_notice);
  REQUIRE_MESSAGE(connection, connection.error().message);
  return *std::move(connection);
}

postgres::Batch query(std::string sql, std::vector<std::optional<std::string>> parameters) {
  return {.statements = {{.sql = std::move(sql), .parameters = std::move(parameters)}}};
}

std::string only_field(const postgres::BatchReply& reply) {
  REQUIRE_MESSAGE(reply, reply.error().message);
  REQUIRE(reply->back().size() == 1);
  return std::string(reply->back().text(0, 0).value_or("NULL"));
}

}  // namespace rt::testing
