// What a walsender and its client say to each other once a replication has started: each message is one CopyData.
//
// https://www.postgresql.org/docs/15/protocol-replication.html
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "model/lsn.h"

namespace rt::pgoutput {

// A piece of the log, decoded by the plugin.
struct WalData {
  Lsn start;       // of this piece; of logical decoding it is where the record began, or 0
  Lsn server_end;  // how far the server's log went then
  std::string_view data;
};

struct Keepalive {
  Lsn server_end;
  bool wants_reply = false;  // or the server takes us for dead soon
};

using StreamMessage = std::variant<WalData, Keepalive>;

// Views into `bytes`.
Result<StreamMessage> parse_stream_message(std::string_view bytes);

// How far we are: the server may forget its log up to `flushed`. `micros`: of our clock, since 2000-01-01 in UTC.
enum class Reply : std::uint8_t { kNotNeeded, kWanted };  // a keepalive, at once
std::string make_status_update(Lsn written, Lsn flushed, std::int64_t micros, Reply reply);

// Between the epoch of Postgres and that of Unix.
inline constexpr std::int64_t kPostgresEpochSeconds = 946'684'800;
// Since that of Postgres.
std::int64_t micros_of(std::chrono::system_clock::time_point time);

}  // namespace rt::pgoutput
