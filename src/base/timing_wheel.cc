#include "base/timing_wheel.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace rt {

void Deadline::set(TimingWheel& wheel, Time at) {
  cancel();
  at_ = at;
  wheel.insert(*this);
}

void Deadline::cancel() {
  if (is_set()) unlink();
}

void Deadline::link_before(Deadline& head) {
  next_ = &head;
  previous_ = head.previous_;
  previous_->next_ = this;
  head.previous_ = this;
}

void Deadline::unlink() {
  previous_->next_ = next_;
  next_->previous_ = previous_;
  next_ = previous_ = nullptr;
}

TimingWheel::TimingWheel(Time start) : start_(start) {}

// The first tick at which the deadline may fire without being early.
std::uint64_t TimingWheel::tick_of(Time at) const {
  if (at <= start_) return 0;
  return static_cast<std::uint64_t>((at - start_ + kTick - Duration(1)) / kTick);
}

void TimingWheel::insert(Deadline& deadline) {
  // A deadline of the past fires at the next tick: a callback that sets it again must not spin.
  std::uint64_t tick = std::max(tick_of(deadline.at_), tick_ + 1);
  for (int ring = 0; ring < kRings; ++ring) {
    const int shift = 6 * ring;
    // Within a ring's reach when the distance in that ring's units is less than one turn.
    if ((tick >> shift) - (tick_ >> shift) < kSlots) {
      put(deadline, ring, (tick >> shift) % kSlots);
      return;
    }
  }
  // Beyond 17 years: into the last slot of the last ring, to be looked at again when it is unrolled.
  const int shift = 6 * (kRings - 1);
  put(deadline, kRings - 1, ((tick_ >> shift) + kSlots - 1) % kSlots);
}

void TimingWheel::put(Deadline& deadline, int ring, std::uint64_t slot) {
  deadline.link_before(slots_[ring][slot]);
  maybe_occupied_[ring] |= std::uint64_t{1} << slot;
}

void TimingWheel::take_all(Deadline& slot, Deadline& into) {
  while (slot.next_ != &slot) {
    Deadline& deadline = *slot.next_;
    deadline.unlink();
    deadline.link_before(into);
  }
}

// Deals the slot of an outer ring that has come up to the inner rings.
void TimingWheel::cascade(int ring) {
  Head due;
  Deadline& slot = slots_[ring][(tick_ >> (6 * ring)) % kSlots];
  take_all(slot, due);
  while (due.next_ != &due) {
    Deadline& deadline = *due.next_;
    deadline.unlink();
    if (tick_of(deadline.at_) <= tick_) {
      deadline.link_before(slots_[0][tick_ % kSlots]);  // due right now; fired by the caller
    } else {
      insert(deadline);
    }
  }
}

void TimingWheel::fire(Deadline& slot) {
  // Callbacks may add to this very slot one turn later, so the due ones are taken out first.
  Head due;
  take_all(slot, due);
  while (due.next_ != &due) {
    Deadline& deadline = *due.next_;
    deadline.unlink();
    deadline.on_expired_(deadline.owner_);
  }
}

void TimingWheel::advance(Time now) {
  if (now < start_) return;
  const std::uint64_t target = static_cast<std::uint64_t>((now - start_) / kTick);
  while (tick_ < target) {
    // Skip empty stretches: nothing is due before next_due().
    const auto due = next_due();
    const std::uint64_t next = due ? tick_of(*due) : target;
    tick_ = std::max(tick_ + 1, std::min(target, next));
    for (int ring = 1; ring < kRings; ++ring) {
      if ((tick_ & ((std::uint64_t{1} << (6 * ring)) - 1)) != 0) break;
      cascade(ring);
    }
    fire(slots_[0][tick_ % kSlots]);
  }
}

std::optional<Time> TimingWheel::next_due() const {
  std::optional<std::uint64_t> earliest;
  for (int ring = 0; ring < kRings; ++ring) {
    const int shift = 6 * ring;
    const std::uint64_t here = tick_ >> shift;
    // Rotated so that bit 0 is the slot after the present one.
    std::uint64_t ahead = std::rotr(maybe_occupied_[ring], static_cast<int>((here + 1) % kSlots));
    while (ahead != 0) {
      const std::uint64_t step = static_cast<std::uint64_t>(std::countr_zero(ahead)) + 1;
      const std::uint64_t index = (here + step) % kSlots;
      const Deadline& slot = slots_[ring][index];
      if (slot.next_ != &slot) {
        const std::uint64_t tick = (here + step) << shift;
        if (!earliest || tick < *earliest) earliest = tick;
        break;
      }
      maybe_occupied_[ring] &= ~(std::uint64_t{1} << index);
      ahead &= ahead - 1;
    }
  }
  if (!earliest) return std::nullopt;
  return start_ + static_cast<Duration::rep>(*earliest) * kTick;
}

}  // namespace rt
