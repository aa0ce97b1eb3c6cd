// What a tenant's database is asked for when a client wants the messages of before its join, and what it gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/rights_question.h"
#include "model/stored_broadcast.h"

namespace rt {

// A value that may go to another thread.
struct ReplayQuestion {
  std::string topic;          // without `realtime:`
  std::int64_t since = 0;     // Unix milliseconds, of the years 0 to 9999
  std::int64_t limit = 1;     // the newest so many
  std::size_t bytes_max = 0;  // of their events and payloads; the oldest are left out if there are more
};

struct StoredMessage {
  std::string id;  // of the row, a UUID
  StoredBroadcast::Kind kind = StoredBroadcast::Kind::kJson;
  std::string event;
  std::string payload;  // the text of the jsonb, or the bytes
};

struct Replay {
  std::vector<StoredMessage> messages{};  // the oldest first
  std::size_t left_out = 0;               // for their size
  std::shared_ptr<const void> room{};     // that they have in memory; held as long as they are
};

using ReplayAnswer = Result<Replay, RightsFault>;
using AnswerReplay = std::function<void(ReplayAnswer)>;

}  // namespace rt
