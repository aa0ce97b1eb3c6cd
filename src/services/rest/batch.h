// The messages of `POST /api/broadcast` (http-api.md 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/message.h"

namespace rt::rest {

struct BatchMessage {
  std::string topic;                // without `realtime:`
  std::string payload;              // as subscribers get it: event, the sender's payload and, where it has one, its id
  std::uint64_t size = UINT64_MAX;  // of the sender's payload, as the limit measures it
  Privacy privacy = Privacy::kPublic;
};

// What a broadcast with this payload measures against the limit, and the largest that the limit allows (13).
// nullopt: it is nested too deeply.
std::optional<std::uint64_t> measured_size(std::string_view payload);
std::uint64_t size_max(std::int64_t payload_kb_max);

// `body` is one walked JSON value. The error is the JSON text of the body that says what is wrong with each message.
Result<std::vector<BatchMessage>, std::string> read_batch(std::string_view body, std::int64_t payload_kb_max);

// More in a batch are refused before each is looked at.
inline constexpr std::size_t kBatchMessagesMax = 10'000;
// What is delivered must fit into every subscriber's queue, as text with its names escaped.
inline constexpr std::size_t kDeliveredBytesMax = 4'900'000;

// As it is published: without tenant and hash.
Message message_of(BatchMessage&& one);

// Nothing but white space.
bool is_blank(std::string_view text);

}  // namespace rt::rest
