#include "domain/presence/dots.h"

#include <algorithm>

namespace rt::presence {

bool Dots::contains(std::uint64_t clock) const {
  if (clock <= prefix_) return true;
  const auto range = std::ranges::lower_bound(cloud_, clock, {}, &Range::last);
  return range != cloud_.end() && range->first <= clock;
}

void Dots::add(std::uint64_t first, std::uint64_t last) {
  if (last < first || last <= prefix_) return;
  // Those that overlap or touch the new range become part of it.
  const auto from = std::ranges::lower_bound(cloud_, first - 1, {}, &Range::last);
  auto to = from;
  for (; to != cloud_.end() && to->first - 1 <= last; ++to) {
    first = std::min(first, to->first);
    last = std::max(last, to->last);
  }
  cloud_.insert(cloud_.erase(from, to), {first, last});
  compact();
}

void Dots::compact() {
  while (!cloud_.empty() && cloud_.front().first <= prefix_ + 1) {
    prefix_ = std::max(prefix_, cloud_.front().last);
    cloud_.erase(cloud_.begin());
  }
}

}  // namespace rt::presence
