#include "domain/presence/consistency.h"

#include <algorithm>
#include <cstdint>

namespace rt::presence {
namespace {

// As many as fit into a PresenceRef; a thousand events per second need 8,900 years for them.
constexpr std::uint64_t kClockMax = (std::uint64_t{1} << 48) - 1;

// Strictly ascending within (after, through].
template <class List, class Clock>
bool ascends(const List& list, std::uint64_t after, std::uint64_t through, Clock clock_of) {
  for (const auto& item : list) {
    const std::uint64_t clock = clock_of(item);
    if (clock <= after || clock > through) return false;
    after = clock;
  }
  return true;
}

std::uint64_t itself(std::uint64_t clock) { return clock; }

bool are_consistent(const std::vector<PresenceBirth>& births, std::uint64_t after, std::uint64_t through) {
  const auto is_sane = [](const PresenceBirth& birth) { return birth.payload && birth.replaces < birth.clock; };
  return std::ranges::all_of(births, is_sane) &&
         ascends(births, after, through, [](const PresenceBirth& birth) { return birth.clock; });
}

}  // namespace

bool is_consistent(const PresenceDelta& delta) {
  return delta.from < delta.to && delta.to <= kClockMax && are_consistent(delta.births, delta.from, delta.to) &&
         ascends(delta.gone, 0, delta.from, itself);
}

// An entry cannot be in both lists: those that are only named come first.
bool is_consistent(const PresenceChunk& chunk) {
  if (chunk.after >= chunk.through || chunk.through > chunk.top || chunk.top > kClockMax) return false;
  const std::uint64_t last_kept = chunk.kept.empty() ? chunk.after : chunk.kept.back();
  return ascends(chunk.kept, chunk.after, chunk.through, itself) &&
         are_consistent(chunk.births, last_kept, chunk.through);
}

bool is_consistent(const PresenceDigest& digest) {
  return std::ranges::all_of(digest.versions, [](const auto& version) { return version.clock <= kClockMax; });
}

bool is_consistent(const PresencePull& pull) {
  return pull.known <= kClockMax && pull.after <= kClockMax && pull.top <= kClockMax &&
         (pull.top == 0 ? pull.after == 0 : pull.after < pull.top);
}

}  // namespace rt::presence
