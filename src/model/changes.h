// A channel's subscriptions to row changes on their way to its tenant's database, and what comes back from there.
//
// All of them are values that may go to another thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/token.h"

namespace rt {

// By which the subscriptions of one channel are known: unique in the life of the process.
struct ChangesId {
  std::uint32_t worker = 0;  // index of the worker that has the channel
  std::uint64_t number = 0;
  auto operator<=>(const ChangesId&) const = default;
};

// One element of `config.postgres_changes`, or the implicit one of a join without `config`.
struct ChangeEntry {
  std::uint32_t id = 0;  // as the join reply says it
  std::string text;      // a JSON object, as the client spelled it
};

// How messages of changes look. kWithIds: event `postgres_changes`, payload `{"ids":[…],"data":{…}}`. kBare, for joins
// without `config`: the event is the type of the change and the payload what else is `data`.
enum class ChangeForm : std::uint8_t { kWithIds, kBare };

// What a channel wants to be told. Another one of the same id takes the place of the former, once it is accepted.
struct ChangesQuestion {
  ChangesId id;
  std::string topic;  // the whole name, as frames carry it
  ChangeForm form = ChangeForm::kWithIds;
  std::vector<ChangeEntry> entries;  // at least one
  TokenRef token;                    // its role and claims decide which rows

  std::size_t bytes() const {
    std::size_t out = sizeof *this + topic.size();
    for (const ChangeEntry& entry : entries) out += sizeof entry + entry.text.size();
    return out;
  }
};

// What became of it. There may be several: a stream that had to begin anew, or is taken up after a failure, is told
// again.
struct ChangesNotice {
  enum class Status : std::uint8_t { kOk, kError };
  Status status = Status::kOk;
  std::string message;  // for the client
};

// The message for a channel whose tenant has no database.
inline constexpr std::string_view kNoDatabaseForChanges =
    "Unable to subscribe to changes: this project has no database";

// A message for channels of one topic that are told the same.
struct ChangeMessage {
  std::string topic;
  std::string event;    // `postgres_changes`, or the type of the change
  std::string payload;  // a JSON object
  std::vector<ChangesId> to{};
  std::size_t subscriptions = 1;  // of each of them, that it is for
  // Held until every frame of the message was taken by the kernel, or let go of.
  std::shared_ptr<const void> receipt{};

  std::size_t bytes() const {
    return sizeof *this + topic.size() + event.size() + payload.size() + to.size() * sizeof(ChangesId);
  }
};

// In the order in which they are to be told.
struct ChangeBatch {
  std::string tenant;  // external id
  std::vector<ChangeMessage> messages;
  std::size_t rows = 0;  // that it tells of
};

}  // namespace rt
