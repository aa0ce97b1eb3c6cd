// The messages of before a join, and those that come while they are looked for (protocol.md 5.7).
//
// A channel that wants old messages takes its seat first and asks then, so that no message can fall between the two: it
// is among the old ones, or it comes live meanwhile and is kept, or it is both and told once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/channels/join_request.h"
#include "model/replay.h"
#include "model/rights.h"

namespace rt::channels {

// What a fan-out has to know of it. Most channels have none.
struct ChannelReplay {
  bool is_awaited = true;        // live messages are kept for it
  std::vector<std::string> ids;  // of what was replayed, which is not told a second time

  bool has(std::string_view id) const { return !id.empty() && std::ranges::find(ids, id) != ids.end(); }
  std::size_t bytes() const { return sizeof *this + ids.size() * (sizeof(std::string) + kIdBytes); }

 private:
  static constexpr std::size_t kIdBytes = 37;
};

// One that came meanwhile.
struct LiveMessage {
  std::string id;                            // of its row; empty: it was none
  std::shared_ptr<const std::string> frame;  // as this socket takes it, shared with others

  std::size_t bytes() const { return sizeof *this + id.size() + frame->size(); }
};

struct ReplayFault {
  std::string_view code;  // a literal
  std::string text;
};
// What a join asks for; nullopt: nothing. The size is for the caller to limit.
Result<std::optional<ReplayQuestion>, ReplayFault> wanted_replay(const JoinRequest& request, const Rights& rights,
                                                                 std::string_view sub_topic);

}  // namespace rt::channels
