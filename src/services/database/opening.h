// What has to hold before a tenant's database serves: it can be reached, has connections to spare, the schema is there
// and up to date, so are the partitions, and the login is one that no policy holds back.
//
// All of it happens on one short connection. Whether it goes on to a pool is for who calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/postgres/connection.h"
#include "io/postgres/partitions.h"
#include "io/postgres/task.h"
#include "model/rights_question.h"
#include "services/database/slots.h"
#include "services/database/tenant_settings.h"

namespace rt::database {

// While it is there, a cancellation closes the connection; whoever waits for an answer has it then.
class ClosedByCancellation {
 public:
  ClosedByCancellation(postgres::Connection& connection, std::shared_ptr<postgres::Cancellation> cancellation)
      : cancellation_(std::move(cancellation)) {
    cancellation_->set_hook([&connection] { connection.close(); });
    if (cancellation_->is_cancelled()) connection.close();
  }
  ~ClosedByCancellation() { cancellation_->set_hook(nullptr); }
  ClosedByCancellation(const ClosedByCancellation&) = delete;
  ClosedByCancellation& operator=(const ClosedByCancellation&) = delete;

 private:
  const std::shared_ptr<postgres::Cancellation> cancellation_;
};

struct OpeningFault {
  RightsFaultKind kind = RightsFaultKind::kUnavailable;
  std::string_view code;  // for the log; a literal
  std::string text;       // what happened, and what to do
  std::string sqlstate;
  std::optional<std::int64_t> migrations_found{};  // as below, where it got so far
};

struct Opening {
  std::int64_t migrations_found = 0;           // in realtime.schema_migrations, before anything was done
  std::int64_t migrations = 0;                 // and after
  bool has_migrated = false;                   // something had to be done
  std::chrono::milliseconds migration_took{};  // with the wait for others that do the same
  postgres::PartitionUpkeep partitions;
  bool is_by_ipv4 = false;  // it has no address of IPv6
  std::string superuser;    // name of the login where it is one, else empty
};

// More than so many have to be free before there is a pool.
std::size_t connections_needed(const TenantSettings& settings);

// kForPool: other sessions have to leave room for all that a tenant may need.
enum class Purpose : std::uint8_t { kForPool, kForSchema };

// `migrating` bounds how many have something to migrate at a time. Cancelled: it fails, soon.
postgres::Task<rt::Result<Opening, OpeningFault>> open_database(postgres::Surroundings surroundings,
                                                                TenantSettings settings, Purpose purpose,
                                                                Slots& migrating,
                                                                std::shared_ptr<postgres::Cancellation> cancellation);

}  // namespace rt::database
