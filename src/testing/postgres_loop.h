// An event loop that a test turns, with what connections to a PostgresCluster need around them. Who includes this
// includes <boost/asio/awaitable.hpp> itself.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/postgres/pool.h"
#include "testing/postgres_cluster.h"

namespace rt::testing {

class PostgresLoop {
  // Destroyed last.
  std::unique_ptr<boost::asio::io_context> owned_io_;

 public:
  static constexpr std::chrono::seconds kPatience{60};

  PostgresLoop();
  ~PostgresLoop();

  // Until the coroutine has ended.
  template <class T>
  T run(postgres::Task<T> task) {
    std::optional<T> out;
    begin(std::move(task), out);
    until([&] { return out.has_value(); });
    return std::move(*out);
  }
  void run(postgres::Task<void> task);

  // It goes on while others run; the result comes into `out`.
  template <class T>
  void begin(postgres::Task<T> task, std::optional<T>& out) {
    spawn(keep(std::move(task), out));
  }

  // Turns the loop until it holds.
  void until(const std::function<bool()>& condition);
  // What is ready, or becomes so in that time.
  void turn(std::chrono::microseconds wait);
  // As the owners of connections call it.
  void on_loop(const std::function<void()>& action);

  static postgres::ConnectionSettings settings();
  postgres::Result<std::unique_ptr<postgres::Connection>> try_open(
      const postgres::ConnectionSettings& how, const postgres::OnNotice& on_notice = {},
      std::shared_ptr<postgres::Cancellation> cancellation = nullptr);
  std::unique_ptr<postgres::Connection> open(const postgres::ConnectionSettings& how = settings(),
                                             const postgres::OnNotice& on_notice = {});

  boost::asio::io_context& io;
  std::unique_ptr<postgres::Resolver> resolver;
  postgres::Canceller canceller;
  postgres::Surroundings surroundings;

 private:
  void spawn(postgres::Task<void> task);

  template <class T>
  static postgres::Task<void> keep(postgres::Task<T> task, std::optional<T>& out) {
    out.emplace(co_await std::move(task));
  }
};

// One statement, prepared.
postgres::Batch query(std::string sql, std::vector<std::optional<std::string>> parameters = {});

// The only field of the only row of the last statement.
std::string only_field(const postgres::BatchReply& reply);

}  // namespace rt::testing
