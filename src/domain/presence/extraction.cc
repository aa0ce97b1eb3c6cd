// What of a state goes into a message.

#include <algorithm>

#include "domain/presence/state.h"

namespace rt::presence {
namespace {

// At most, in an encoded message.
constexpr std::size_t kClockBytes = 10;
constexpr std::size_t kBirthBytes = 64;  // its numbers, tags and lengths

}  // namespace

std::size_t PresenceState::wire_bytes_of(const Entry& entry) {
  return kBirthBytes + entry.topic->name->size() + entry.member->first.size() + entry.payload.size();
}

// Births and ends are two lists in the order of clocks. We take from both until the room is used up, and what is
// between two events that are in neither list (births that have ended since) belongs to the earlier one.
PresenceDelta PresenceState::delta(std::uint64_t from, std::span<const End> ends, std::size_t bytes_max) const {
  PresenceDelta delta;
  delta.sender = self_id_;
  delta.from = from;
  auto entry = self_->entries.upper_bound(from);
  std::size_t bytes = 0;
  delta.to = clock();
  while (entry != self_->entries.end() || !ends.empty()) {
    const bool is_end = !ends.empty() && (entry == self_->entries.end() || ends.front().clock < entry->first);
    const std::uint64_t clock = is_end ? ends.front().clock : entry->first;
    const std::size_t more = is_end ? kClockBytes : wire_bytes_of(entry->second);
    if (bytes > 0 && bytes + more > bytes_max) {
      delta.to = clock - 1;
      break;
    }
    bytes += more;
    if (is_end) {
      if (ends.front().entry <= from) delta.gone.push_back(ends.front().entry);
      ends = ends.subspan(1);
    } else {
      delta.births.push_back(birth_of(*entry));
      ++entry;
    }
  }
  std::ranges::sort(delta.gone);
  return delta;
}

std::optional<PresenceChunk> PresenceState::chunk(const PresencePull& pull, std::size_t bytes_max) const {
  const auto found = replicas_.find(pull.replica);
  if (found == replicas_.end()) return std::nullopt;
  const Replica& replica = found->second;
  const std::uint64_t top = pull.top != 0 ? pull.top : replica.dots.prefix();
  if (top > replica.dots.prefix() || top <= pull.after) return std::nullopt;

  PresenceChunk chunk;
  chunk.id = pull.id;
  chunk.replica = pull.replica;
  chunk.after = pull.after;
  chunk.through = top;
  chunk.top = top;
  std::size_t bytes = 0;
  for (auto entry = replica.entries.upper_bound(pull.after); entry != replica.entries.end() && entry->first <= top;
       ++entry) {
    const bool is_known = entry->first <= pull.known;
    const std::size_t more = is_known ? kClockBytes : wire_bytes_of(entry->second);
    if (bytes > 0 && bytes + more > bytes_max) {
      chunk.through = entry->first - 1;
      break;
    }
    bytes += more;
    if (is_known)
      chunk.kept.push_back(entry->first);
    else
      chunk.births.push_back(birth_of(*entry));
  }
  return chunk;
}

}  // namespace rt::presence
