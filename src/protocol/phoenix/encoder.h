// Phoenix messages as the server sends them: whole WebSocket frames, ready for the wire and for sharing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/phoenix/message.h"

namespace rt::phoenix {

struct ServerMessage {
  std::string_view join_ref = kNull;  // JSON source text; version 1 has no place for it
  std::string_view ref = kNull;       // JSON source text
  std::string_view topic;             // plain text
  std::string_view topic_json = {};   // JSON source text, instead of `topic` where a client's is no string
  std::string_view event;             // one of the server's own names, plain ASCII
  std::string_view payload = "{}";    // JSON source text
};

std::string encode(Version version, const ServerMessage& message);

// The same message as the text before its payload and the text behind it.
struct Envelope {
  std::string before;
  std::string after;
};
Envelope encode_around(Version version, const ServerMessage& message);

// Kind 4: a user broadcast for version 2. nullopt: topic, event or metadata is longer than 255 bytes and cannot be
// encoded.
struct UserBroadcast {
  std::string_view topic;
  std::string_view event;
  std::string_view metadata;  // a JSON object, or empty
  bool is_json = false;
  std::string_view data;
};
std::optional<std::string> encode_user_broadcast(const UserBroadcast& broadcast);

// Kind 2: a broadcast of opaque bytes for version 2; nullopt as above.
std::optional<std::string> encode_raw_broadcast(std::string_view topic, std::string_view event, std::string_view bytes);

}  // namespace rt::phoenix
