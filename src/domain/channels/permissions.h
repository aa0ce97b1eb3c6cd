// What private channels ask the tenant's database, and how clients and logs are told that it gave no answer
// (authorization.md 5 to 7).
#pragma once

#include <string>
#include <string_view>

#include "model/rights_question.h"

namespace rt::channels {

inline AskedRights asked_to_read(bool presence_enabled) {
  return {.broadcast_read = true, .presence_read = presence_enabled};
}
// Those of both are asked together, whichever is wanted.
inline constexpr AskedRights kAskedToWrite{.broadcast_write = true, .presence_write = true};

inline bool may_join(const Rights& rights) { return rights.broadcast_read == true || rights.presence_read == true; }

// Without a code.
std::string no_read_right(std::string_view sub_topic);

struct RightsFailure {
  std::string_view log_code;  // a literal
  std::string log_text;
  std::string join_reason;   // with its code, where it has one
  std::string close_reason;  // of a channel whose new token could not be looked at
};
RightsFailure describe(const RightsFault& fault, std::string_view sub_topic);

}  // namespace rt::channels
