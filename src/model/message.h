// A message on its way from one publisher to all subscribers of a topic: immutable once published, shared by all
// workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "model/topic.h"

namespace rt {

// A socket as the channels name it: opaque to them, unique on its worker for the life of the process. 0 names none.
using SocketId = std::uint64_t;

enum class MessageKind : std::uint8_t {
  kJson,          // `payload` is the whole payload object of the event `broadcast`, as pushed
  kUserJson,      // `event` and `payload` apart; the payload calls itself JSON
  kUserBinary,    // the same with bytes
  kOpaque,        // bytes without an event of their own
  kPresenceDiff,  // no broadcast: `payload` is what is new in the presence of the topic
  kRowChange,     // no broadcast: `event` and `payload` are what certain channels are told of a row
};

struct Message {
  std::string tenant;  // external id
  Privacy privacy = Privacy::kPublic;
  std::string topic;
  std::uint64_t topic_hash = 0;
  MessageKind kind = MessageKind::kJson;
  std::string event;
  std::string payload;
  std::uint64_t payload_size = 0;       // as its limit measures it (http-api.md 13)
  std::string id{};                     // of its row in realtime.messages, a UUID; empty: it was none
  std::optional<Time> joined_before{};  // only channels that had joined then are to get it; nullopt: all
  // Whoever lets a row go wants to know when it is through: held until every frame of the message was taken by the
  // kernel, or let go of.
  std::shared_ptr<const void> receipt{};

  TopicKey key() const { return {tenant, privacy, topic}; }
};

}  // namespace rt
