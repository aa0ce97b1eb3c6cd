// Presence as clients see it: payloads of `presence_state` and `presence_diff`, and what they track.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "model/presence.h"
#include "protocol/json/value.h"

namespace rt::phoenix {

// What a client tracks, as we keep it: its own text without the members whose names are the server's (`phx_ref`,
// `phx_ref_prev`), and `{}` where nothing is left. `object` is an object.
std::string presence_payload(json::Value object);

// Writes `{"ann":{"metas":[{...},{...}]},"bob":...}`, piece by piece. Metas of one key must follow each other; their
// payloads are as presence_payload() makes them.
class PresenceObject {
 public:
  void expect(std::size_t bytes) { text_.reserve(bytes); }
  void add(const PresenceMeta& meta);
  std::size_t bytes() const { return text_.size(); }
  std::string finish() &&;

 private:
  std::string text_ = "{";
  std::string key_;  // of the last meta
  bool is_empty_ = true;
};

// `{"joins":{...},"leaves":{...}}`.
std::string presence_diff(const PresenceTopicDiff& diff);

}  // namespace rt::phoenix
