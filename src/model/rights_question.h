// What a tenant's database is asked about the rights of one client on one topic, and the ways in which that can fail.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "model/rights.h"
#include "model/token.h"

namespace rt {

struct AskedRights {
  bool broadcast_read = false;
  bool broadcast_write = false;
  bool presence_read = false;
  bool presence_write = false;
  bool operator==(const AskedRights&) const = default;
};

// A value that may go to another thread.
struct RightsQuestion {
  std::string topic;  // without `realtime:`
  Claims claims;
  AskedRights asked;
  std::shared_ptr<const std::string> headers{};  // a JSON object of what policies may see; null: `{}`
};

enum class RightsFaultKind : std::uint8_t {
  kPolicy,            // a policy raised an error, there is no such role, or another error of SQL
  kCancelled,         // the statement was
  kMissingPartition,  // of the messages table
  kPoolExhausted,     // no connection was free in time
  kUnavailable,       // the tenant has no database, it cannot be reached, or the connection was lost
  kNoSlots,           // the database takes no more connections
  kInitializing,      // the connection is being made
  kTooManyAttempts,   // to connect, that failed lately
  kSuspended,         // the tenant is
  kOther,
};

struct RightsFault {
  RightsFaultKind kind = RightsFaultKind::kOther;
  std::string text{};  // what happened, for the log and, where a statement was cancelled, for the client
};

// Of what was asked each is true or false, the rest nullopt.
using RightsAnswer = Result<Rights, RightsFault>;

}  // namespace rt
