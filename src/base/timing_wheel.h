// Deadlines: tens of thousands of timers of one thread, at the price of a linked-list node each.
//
// A hierarchical timing wheel (Varghese and Lauck, 1987): six rings of 64 slots, the first with ticks of 8 ms. Setting
// and cancelling cost O(1); a deadline fires at its time or up to one tick later, never earlier. The wheel reads no
// clock: its owner calls advance() with the time and sleeps until next_due().
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace rt {

class TimingWheel;

// A timer that its owner holds as a member. The destructor takes it out of the wheel, so it never fires for a dead
// owner. The wheel must outlive it. Not thread-safe: wheel, deadlines and callbacks belong to one thread.
class Deadline {
 public:
  using OnExpired = void (*)(void* owner);

  Deadline(OnExpired on_expired, void* owner) : on_expired_(on_expired), owner_(owner) {}
  ~Deadline() { cancel(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  // (Re)arms it; an earlier time set before is forgotten.
  void set(TimingWheel& wheel, Time at);
  void cancel();
  bool is_set() const { return next_ != nullptr; }
  Time at() const { return at_; }  // of the last set()

 private:
  friend class TimingWheel;
  void link_before(Deadline& head);
  void unlink();

  Deadline* next_ = nullptr;  // null: not set
  Deadline* previous_ = nullptr;
  Time at_{};
  OnExpired on_expired_;
  void* owner_;
};

class TimingWheel {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(8);

  explicit TimingWheel(Time start);
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;

  // Fires everything due at `now`. Callbacks may set, cancel and destroy any deadline, their own included.
  void advance(Time now);

  // No deadline fires before this time; nullopt: there is none. A far deadline may be announced early (a ring to be
  // unrolled).
  std::optional<Time> next_due() const;

 private:
  friend class Deadline;
  static constexpr int kRings = 6;
  static constexpr int kSlots = 64;

  struct Head : Deadline {
    Head() : Deadline(nullptr, nullptr) { next_ = previous_ = this; }
    ~Head() { next_ = previous_ = nullptr; }
  };

  void insert(Deadline& deadline);
  void put(Deadline& deadline, int ring, std::uint64_t slot);
  std::uint64_t tick_of(Time at) const;
  static void take_all(Deadline& slot, Deadline& into);
  void cascade(int ring);
  void fire(Deadline& slot);

  Time start_;
  std::uint64_t tick_ = 0;  // all slots up to and including this tick have fired
  std::array<std::array<Head, kSlots>, kRings> slots_;
  // A bit for each slot that may hold something; next_due() clears those that it finds empty.
  mutable std::array<std::uint64_t, kRings> maybe_occupied_{};
};

}  // namespace rt
