// The ids of the messages that were broadcast last, so that none is broadcast twice: a row that is found again in the
// table after the stream was interrupted, or one that an update moves to another partition.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <unordered_set>

namespace rt::messages {

class RecentIds {
 public:
  static constexpr std::size_t kIdsMax = 10'000;

  // False: it is among them. What is no UUID is always new.
  bool add(std::string_view uuid);
  std::size_t size() const { return ids_.size(); }

 private:
  struct Id {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    bool operator==(const Id&) const = default;
  };
  struct HashOf {
    std::size_t operator()(const Id& id) const { return id.high ^ id.low; }
  };
  static std::optional<Id> parse(std::string_view uuid);

  std::unordered_set<Id, HashOf> ids_;
  std::deque<Id> in_order_;
};

}  // namespace rt::messages
