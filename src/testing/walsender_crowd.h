// All walsenders that a PostgresCluster has, so that nobody else has one. Who includes this includes
// <boost/asio/awaitable.hpp> before.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <utility>
#include <vector>

#include "io/postgres/replication.h"
#include "testing/postgres_loop.h"

namespace rt::testing {

class WalsenderCrowd {
 public:
  explicit WalsenderCrowd(PostgresLoop& loop) {
    while (auto one = loop.run(postgres::ReplicationConnection::open(loop.surroundings, PostgresLoop::settings())))
      all_.push_back(*std::move(one));
    REQUIRE(!all_.empty());
  }
  void leave() { all_.clear(); }

 private:
  std::vector<std::unique_ptr<postgres::ReplicationConnection>> all_;
};

}  // namespace rt::testing
