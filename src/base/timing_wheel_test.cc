#include "base/timing_wheel.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <vector>

using namespace std::chrono_literals;

namespace rt {
namespace {

struct Alarm {
  Time* now;
  std::vector<Time> rung;
  Deadline deadline{[](void* self) { static_cast<Alarm*>(self)->rung.push_back(*static_cast<Alarm*>(self)->now); },
                    this};
  explicit Alarm(Time& clock) : now(&clock) {}
};

struct Fixture {
  Time now{1000s};
  TimingWheel wheel{now};
  void run_until(Time end) {
    while (now < end) {
      now = std::min(end, wheel.next_due().value_or(end));
      wheel.advance(now);
    }
  }
};

TEST_CASE("a deadline fires once, not before its time and at most one tick later, however far it is") {
  for (const Duration delay : std::vector<Duration>{1ms, 8ms, 500ms, 513ms, 33s + 7ms, 1h, 100h + 3ms, 24h * 365}) {
    Fixture f;
    Alarm alarm(f.now);
    const Time due = f.now + delay;
    alarm.deadline.set(f.wheel, due);
    f.run_until(due + 10s);
    REQUIRE(alarm.rung.size() == 1);
    CHECK(alarm.rung[0] >= due);
    CHECK(alarm.rung[0] <= due + TimingWheel::kTick);
  }
}

TEST_CASE("a deadline whose owner has gone never fires") {
  Fixture f;
  auto alarm = std::make_unique<Alarm>(f.now);
  alarm->deadline.set(f.wheel, f.now + 20ms);
  alarm.reset();
  CHECK(!f.wheel.next_due());
  f.run_until(f.now + 1s);
}

TEST_CASE("setting a deadline again forgets the earlier time") {
  Fixture f;
  Alarm alarm(f.now);
  alarm.deadline.set(f.wheel, f.now + 10ms);
  const Time later = f.now + 5s;
  alarm.deadline.set(f.wheel, later);
  f.run_until(later + 1s);
  REQUIRE(alarm.rung.size() == 1);
  CHECK(alarm.rung[0] >= later);
}

TEST_CASE("a callback may cancel or destroy the other deadlines of the same moment") {
  Fixture f;
  auto victim = std::make_unique<Alarm>(f.now);
  struct Killer {
    std::unique_ptr<Alarm>& victim;
    int fired = 0;
    Deadline deadline{[](void* self) {
                        static_cast<Killer*>(self)->victim.reset();
                        ++static_cast<Killer*>(self)->fired;
                      },
                      this};
  } killer{victim};
  killer.deadline.set(f.wheel, f.now + 16ms);
  victim->deadline.set(f.wheel, f.now + 16ms);
  f.run_until(f.now + 1s);
  CHECK(killer.fired == 1);
  CHECK(!victim);
}

TEST_CASE("a callback that asks for a time in the past is called again at the next tick, not at once for ever") {
  Fixture f;
  struct Again {
    Fixture& f;
    int fired = 0;
    Deadline deadline{[](void* self) {
                        auto& again = *static_cast<Again*>(self);
                        ++again.fired;
                        again.deadline.set(again.f.wheel, again.f.now - 1s);
                      },
                      this};
  } again{f};
  again.deadline.set(f.wheel, f.now);
  f.run_until(f.now + 10 * TimingWheel::kTick);
  CHECK(again.fired == 10);
}

TEST_CASE("random deadlines all fire in time, in whatever order they are set and moved") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Fixture f;
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (int i = 0; i < 2000; ++i) alarms.push_back(std::make_unique<Alarm>(f.now));
  const auto pick = [&] { return f.now + Duration(std::chrono::milliseconds(random() % (1u << (random() % 22)))); };
  for (auto& alarm : alarms) alarm->deadline.set(f.wheel, pick());
  for (int round = 0; round < 50; ++round) {
    f.run_until(f.now + std::chrono::milliseconds(random() % 5000));
    for (int i = 0; i < 20; ++i) {
      Alarm& alarm = *alarms[random() % alarms.size()];
      if (alarm.rung.empty()) alarm.deadline.set(f.wheel, pick());
    }
  }
  f.run_until(f.now + 3h);
  for (const auto& alarm : alarms) {
    REQUIRE(alarm->rung.size() == 1);
    REQUIRE(alarm->rung[0] >= alarm->deadline.at());
    REQUIRE(alarm->rung[0] <= alarm->deadline.at() + TimingWheel::kTick);
  }
}

}  // namespace
}  // namespace rt
