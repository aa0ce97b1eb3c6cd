// An event loop that a test turns, with what connections to a PostgresCluster need around them.
#pragma once

#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "io/postgres/pool.h"
#include "testing/postgres_cluster.h"

namespace rt::testing {

struct PostgresLoop {
  static constexpr std::chrono::seconds kPatience{60};

  // Until the coroutine has ended.
  template <class T>
  T run(postgres::Task<T> task) {
    std::optional<T> out;
    begin(std::move(task), out);
    until([&] { return out.has_value(); });
    return std::move(*out);
  }

  void run(postgres::Task<void> task) {
    bool ended = false;
    boost::asio::co_spawn(io, std::move(task), [&ended](const std::exception_ptr& error) { ended = !error; });
    until([&] { return ended; });
  }

  // It goes on while others run; the result comes into `out`.
  template <class T>
  void begin(postgres::Task<T> task, std::optional<T>& out) {
    boost::asio::co_spawn(io, keep(std::move(task), out), [](const std::exception_ptr& error) { REQUIRE(!error); });
  }

  template <class T>
  static postgres::Task<void> keep(postgres::Task<T> task, std::optional<T>& out) {
    out.emplace(co_await std::move(task));
  }

  template <class Condition>
  void until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      io.restart();
      io.run_one_for(std::chrono::milliseconds(20));
      REQUIRE(std::chrono::steady_clock::now() < deadline);
    }
  }

  // On the loop, as its owners call it.
  template <class Action>
  void on_loop(Action action) {
    bool done = false;
    boost::asio::post(io, [&] {
      action();
      done = true;
    });
    until([&] { return done; });
  }

  static postgres::ConnectionSettings settings() {
    return {.host = "localhost",
            .port = PostgresCluster::shared().port(),
            .database = "postgres",
            .user = "postgres",
            .password = PostgresCluster::kPassword};
  }

  postgres::Result<std::unique_ptr<postgres::Connection>> try_open(
      const postgres::ConnectionSettings& how, const postgres::OnNotice& on_notice = {},
      std::shared_ptr<postgres::Cancellation> cancellation = nullptr) {
    return run(postgres::Connection::open(surroundings, how, on_notice, std::move(cancellation)));
  }

  std::unique_ptr<postgres::Connection> open(const postgres::ConnectionSettings& how = settings(),
                                             const postgres::OnNotice& on_notice = {}) {
    auto connection = try_open(how, on_notice);
    REQUIRE_MESSAGE(connection, connection.error().message);
    return *std::move(connection);
  }

  boost::asio::io_context io;
  std::unique_ptr<postgres::Resolver> resolver = postgres::make_resolver(io);
  postgres::Canceller canceller;
  postgres::Surroundings surroundings{io, *resolver, canceller};
};

// One statement, prepared.
inline postgres::Batch query(std::string sql, std::vector<std::optional<std::string>> parameters = {}) {
  return {.statements = {{.sql = std::move(sql), .parameters = std::move(parameters)}}};
}

// The only field of the only row of the last statement.
inline std::string only_field(const postgres::BatchReply& reply) {
  REQUIRE_MESSAGE(reply, reply.error().message);
  REQUIRE(reply->back().size() == 1);
  return std::string(reply->back().text(0, 0).value_or("NULL"));
}

}  // namespace rt::testing
