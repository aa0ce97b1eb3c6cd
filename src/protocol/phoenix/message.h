// Phoenix messages as clients send them, in both versions of the wire format.
//
// Version 1 is a JSON object in text, version 2 a JSON array in text or one of two binary layouts. Only the envelope is
// looked into: refs and payloads stay the client's own bytes, because they are echoed or passed on as they came.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/json/walker.h"
#include "protocol/websocket/frame.h"

namespace rt::phoenix {

enum class Version : std::uint8_t { kV1, kV2 };

// `1.0.x` and `2.0.x`; anything else has no serializer.
std::optional<Version> parse_version(std::string_view vsn);

// A payload that is JSON: the source text and what the walker found.
using JsonPayload = json::Document;

// Kind 3: a broadcast whose payload stands apart from its event.
struct UserPayload {
  std::string_view event;
  bool is_json = false;
  std::string_view data;  // not validated, also when it calls itself JSON
};

// Kind 0: opaque bytes.
struct RawPayload {
  std::string_view bytes;
};

// Views into the frame and the decoder that made it: valid until its next call, while the frame is.
struct ClientMessage {
  std::string_view join_ref;              // JSON source text, `null` when there is none
  std::string_view ref;                   // likewise
  std::optional<std::string_view> topic;  // nullopt: not a string; then topic_json has its JSON source text
  std::optional<std::string_view> event;  // likewise; kind 3 is always `broadcast`
  std::variant<JsonPayload, UserPayload, RawPayload> payload;
  std::string_view topic_json = {};
};

inline constexpr std::string_view kNull = "null";

class Decoder {
 public:
  // nullopt: not a message of that version; it is to be dropped.
  std::optional<ClientMessage> decode(Version version, ws::Opcode opcode, std::string_view frame);

 private:
  std::optional<ClientMessage> decode_object(std::string_view text);
  std::optional<ClientMessage> decode_array(std::string_view text);
  std::optional<ClientMessage> decode_push(std::string_view frame);
  std::optional<ClientMessage> decode_user_push(std::string_view frame);
  std::optional<std::string_view> string_of(std::string_view json_text, std::string& scratch);

  // Only strings with escapes, and refs of binary frames, need a place of their own.
  std::string topic_;
  std::string event_;
  std::string join_ref_;
  std::string ref_;
};

}  // namespace rt::phoenix
