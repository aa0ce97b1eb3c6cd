// The payload of a join, read with all the leniency that clients rely on.
//
// A field of the wrong type takes its default and the join goes on; only structural errors fail it, and they are
// reported as late as the order of checks demands. The payload must outlive the request: change entries and replay are
// kept as pieces of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/changes.h"
#include "protocol/phoenix/message.h"

namespace rt::channels {

// More subscriptions of one channel are a structural error: no program lists as many, and each costs work.
inline constexpr std::size_t kChangeEntriesMax = 1000;

struct JoinRequest {
  bool has_config = false;  // without: a join of the old API
  bool is_private = false;
  bool ack = false;
  bool self = false;
  bool replication_ready = false;
  bool presence_enabled = false;
  std::optional<std::string> presence_key;       // nullopt: one is to be generated
  std::optional<std::string_view> replay;        // the raw value, when the key is there at all
  std::vector<std::string_view> change_entries;  // objects, in order
  std::optional<std::string> token;              // nullopt: the token of the connection
  std::string invalid_fields;    // names of fields that took their default, for the log; empty when all were good
  std::string structural_fault;  // empty when there is none
};

// nullopt: the payload is not a JSON object.
std::optional<JoinRequest> parse_join(const phoenix::JsonPayload& payload);

// What a join of the old API asks for by its name alone: `public:todos:id=eq.1` names schema, table and filter. A JSON
// object.
std::string implicit_change_entry(std::string_view sub_topic);

// The same entries in the same order, each with an id that follows from its contents: equal entries have equal ids,
// different ones different ids, 1 to 2^27 - 1.
std::vector<ChangeEntry> with_ids(const std::vector<std::string_view>& entries);

// As the join reply echoes them: a JSON array of the same objects, each with its `id`.
std::string echo_change_entries(const std::vector<ChangeEntry>& entries);

}  // namespace rt::channels
