// A database of a locale of its own, with types of users and extensions, where filters are put to Postgres. Who
// includes this includes <boost/asio/awaitable.hpp> before.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "domain/changes/condition.h"
#include "services/database/filter_questions.h"
#include "testing/postgres_loop.h"

namespace rt::testing {

class FilterDatabase {
 public:
  // `locale`: as CREATE DATABASE takes it; `rules` are those of it.
  explicit FilterDatabase(std::string name, const std::string& locale = "LOCALE 'C' ENCODING UTF8",
                          changes::TextRules text_rules = {.orders_by_bytes = true, .folds_ascii_plainly = true})
      : rules(text_rules), name_(std::move(name)) {
    PostgresCluster::shared().sql("CREATE DATABASE " + name_ + " TEMPLATE template0 " + locale);
    settings_.database = name_;
    connect();
    for (const char* statement :
         {"CREATE EXTENSION citext", "CREATE EXTENSION hstore",
          "CREATE TYPE \"the mood\" AS ENUM ('sad', 'ok', 'happy', 'Ok')", "CREATE TYPE pair AS (a int, b text)",
          "CREATE TYPE span AS RANGE (subtype = numeric)", "CREATE DOMAIN price AS numeric",
          "CREATE DOMAIN word AS text", "CREATE DOMAIN feeling AS \"the mood\""})
      query(statement);
    load_types();
  }
  ~FilterDatabase() {
    disconnect();
    PostgresCluster::shared().sql("DROP DATABASE " + name_ + " WITH (FORCE)");
  }
  FilterDatabase(const FilterDatabase&) = delete;
  FilterDatabase& operator=(const FilterDatabase&) = delete;

  postgres::Rows query(const std::string& sql, std::vector<std::optional<std::string>> parameters = {}) {
    auto reply = loop.run(connection_->run(
        {.statements = {{.sql = sql, .parameters = std::move(parameters), .plan = postgres::Plan::kOnce}}}));
    REQUIRE_MESSAGE(reply, sql.substr(0, 200) << ": " << reply.error().message);
    return std::move(reply->front());
  }
  std::string field(const std::string& sql, std::vector<std::optional<std::string>> parameters = {}) {
    return std::string(query(sql, std::move(parameters)).text(0, 0).value_or("NULL"));
  }
  changes::Oid type(const std::string& name) {
    return static_cast<changes::Oid>(std::stoul(field("SELECT '" + name + "'::regtype::oid")));
  }
  // All of pg_type.
  void load_types() {
    const postgres::Rows rows = query(
        "SELECT t.oid, t.typname, n.nspname, t.typtype, CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc "
        "OR t.oid IN (22, 30) THEN t.typelem ELSE 0 END, t.typbasetype FROM pg_type t JOIN pg_namespace n ON n.oid = "
        "t.typnamespace");
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto oid_at = [&](std::size_t column) {
        return static_cast<changes::Oid>(std::stoul(std::string(*rows.text(row, column))));
      };
      constexpr std::string_view kKinds = "bcdermp";
      types.put({.oid = oid_at(0),
                 .name = std::string(*rows.text(row, 1)),
                 .schema = std::string(*rows.text(row, 2)),
                 .kind = static_cast<changes::TypeKind>(kKinds.find(*rows.text(row, 3))),
                 .element = oid_at(4),
                 .base = oid_at(5)});
    }
  }
  postgres::Result<void> answer(changes::Questions& questions,
                                std::chrono::milliseconds timeout = std::chrono::milliseconds(10'000)) {
    return loop.run(database::answer_questions(*pool_, types, questions, timeout));
  }

  // Sessions from now on have the settings of the database as they are now.
  void reconnect() {
    disconnect();
    connect();
  }
  void stop() { loop.run(pool_->stop()); }

  PostgresLoop loop;
  const changes::TextRules rules;
  changes::Types types;

 private:
  void connect() {
    connection_ = loop.open(settings_);
    pool_ = std::make_unique<postgres::Pool>(loop.surroundings, settings_, postgres::PoolConfig{}, clock_, random_);
  }
  void disconnect() {
    stop();
    pool_.reset();
    connection_.reset();
  }

  const std::string name_;
  postgres::ConnectionSettings settings_ = PostgresLoop::settings();
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<postgres::Connection> connection_;
  std::unique_ptr<postgres::Pool> pool_;
};

}  // namespace rt::testing
