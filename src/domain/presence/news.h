// What the members of a topic have still to be told.
//
// When much happens at once it is told at once, so that n joins do not cost n times n frames. A diff is applied joins
// first, then leaves. So what happened to a key may be told in one diff as long as the key had somebody all the while;
// a key that was left by everybody and came back is told so, by a second diff. What came and went before anybody was
// told is not told at all. So whatever happens, two diffs are enough.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "domain/presence/state.h"
#include "model/presence.h"

namespace rt::presence {

class News {  // of one topic
 public:
  // What has just happened there; `state` is as it is since then.
  void add(const PresenceTopicDiff& diff, std::string_view topic, const PresenceState& state);

  bool empty() const { return joins_.empty() && leaves_.empty() && returns_.empty(); }
  std::size_t bytes() const { return bytes_; }  // of the metas, about as they are written
  // To be told in this order, none of them empty; metas are in the order of keys. There are none left then.
  std::vector<PresenceTopicDiff> take();

 private:
  using Metas = std::map<std::string, std::vector<PresenceMeta>, std::less<>>;  // by key

  void put(Metas& metas, const PresenceMeta& meta);
  bool take_back(Metas& metas, const PresenceMeta& meta);

  Metas joins_;
  Metas leaves_;
  Metas returns_;                            // joins of `left_`, for the second diff
  std::set<std::string, std::less<>> left_;  // keys that have been left by everybody
  std::size_t bytes_ = 0;
};

}  // namespace rt::presence
