// A row of realtime.messages, and whether it can be broadcast (broadcast-from-db.md 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rt::messages {

// As Postgres writes the columns as texts; nullopt: NULL. Other columns do not matter.
struct RowTexts {
  std::optional<std::string_view> id;
  std::optional<std::string_view> topic;
  std::optional<std::string_view> event;
  std::optional<std::string_view> is_private;
  std::optional<std::string_view> inserted_at;
  std::optional<std::string_view> payload;
  std::optional<std::string_view> binary_payload;  // bytea_output = hex
};

struct MessageRow {
  std::string id;  // a UUID
  std::string topic;
  std::string event;
  std::string body;  // JSON as it is stored, or bytes
  bool is_binary = false;
  bool is_private = false;
  std::string inserted_at;  // without a time zone; by the clock of whoever inserted it
};

// Why a row is skipped: what the log says of it behind `UnableToBroadcastChanges: `. A literal.
struct Unfit {
  std::string_view reason;
};

inline constexpr std::string_view kTooManyRequests = ":too_many_requests";

// Of a bytea as a text. nullopt: it is no hexadecimal one.
std::optional<std::string> bytes_of_hex(std::string_view text);

// What a body may have, of a tenant that allows its clients so many kilobytes.
std::uint64_t body_bytes_max(std::int64_t payload_kb_max);

// `bytes_max`: of the body. It is measured before anything is copied.
Result<MessageRow, Unfit> read_row(const RowTexts& row, std::uint64_t bytes_max);

// Since 2000-01-01, of a time without a zone taken for UTC. nullopt: it is none of the years 1 to 9999.
std::optional<std::int64_t> micros_of(std::string_view timestamp);

}  // namespace rt::messages
