// Presence: a crowd that arrives, a crowd that keeps changing what it tracks, and what an entry takes in memory.
#include <chrono>
#include <string>

#include "load/presence_crowd.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kArriving = 500;
constexpr double kArrivingFramesMax = 25'000;
constexpr double kArrivingMsMax = 1'000;
constexpr double kArrivingCpuMsMax = 500;

constexpr std::size_t kChanging = 5'000;
constexpr std::size_t kChangesPerSecond = kChanging / 10;
constexpr std::chrono::seconds kChangingTime{5};
constexpr std::chrono::seconds kPatience{120};

constexpr std::size_t kMembersOfTopic = 100;
constexpr std::size_t kFewEntries = 2'000;
constexpr std::size_t kManyEntries = 12'000;
constexpr double kBytesPerEntryMax = 400;

// Limits out of the way.
ServerConfig config_of(const Bench& bench) {
  ServerConfig config = bench.server;
  config.env.emplace_back("TENANT_MAX_PRESENCE_EVENTS_PER_SECOND=1000000000");
  config.env.emplace_back("CLIENT_PRESENCE_MAX_CALLS=1000000000");
  return config;
}

double milliseconds(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

void add(const Bench& bench, const std::string& scenario, const std::string& figure, const std::string& unit,
         Series values, std::optional<double> max = std::nullopt) {
  bench.report.add({.scenario = scenario,
                    .figure = figure,
                    .unit = unit,
                    .decimals = unit == "frames" || unit == "bytes" ? 0 : 1,
                    .values = std::move(values),
                    .value_max = max});
}

Result<void> arrive(const Bench& bench) {
  Series frames;
  Series megabytes;
  Series ms;
  Series cpu_ms;
  for (int run = 0; run < bench.runs; ++run) {
    const auto server = ServerProcess::start(config_of(bench));
    if (!server) return tl::make_unexpected(server.error());
    PresenceCrowd crowd(bench.loop, (*server)->port(), (*server)->handshake(), "realtime:arriving");
    if (const auto ok = crowd.connect(kArriving); !ok) return ok;
    const auto before = settled_cpu_ns((*server)->pid());
    if (!before) return tl::make_unexpected(before.error());
    const auto begin = Clock::now();
    for (std::size_t member = 0; member < kArriving; ++member) crowd.join_and_track(member, member);
    if (const auto ok = bench.loop.run_until([&] { return crowd.agree(kArriving); }, "all to know of all"); !ok)
      return ok;
    ms.push_back(milliseconds(Clock::now() - begin));
    const auto after = settled_cpu_ns((*server)->pid());
    if (!after) return tl::make_unexpected(after.error());
    cpu_ms.push_back(static_cast<double>(*after - *before) / 1e6);
    frames.push_back(static_cast<double>(crowd.diffs()));
    megabytes.push_back(static_cast<double>(crowd.bytes()) / 1e6);
  }
  const std::string scenario = "presence, 500 arrive";
  add(bench, scenario, "diffs received by all", "frames", frames, kArrivingFramesMax);
  add(bench, scenario, "until all know of all", "ms", ms, kArrivingMsMax);
  add(bench, scenario, "server CPU", "ms", cpu_ms, kArrivingCpuMsMax);
  add(bench, scenario, "states and diffs on the wire", "MB", megabytes);
  return {};
}

// Evenly over the time, each member in its turn.
Result<void> keep_changing(const Bench& bench, PresenceCrowd& crowd) {
  const std::size_t changes = kChangesPerSecond * static_cast<std::size_t>(kChangingTime.count());
  const auto begin = Clock::now();
  for (std::size_t change = 0; change < changes; ++change) {
    const auto due = begin + std::chrono::nanoseconds(std::chrono::seconds(1)) * change / kChangesPerSecond;
    if (const auto ok = bench.loop.run_to(due); !ok) return ok;
    crowd.track(change * 7 % kChanging, kChanging + change);
  }
  return {};
}

Result<void> change(const Bench& bench) {
  const auto server = ServerProcess::start(config_of(bench));
  if (!server) return tl::make_unexpected(server.error());
  PresenceCrowd crowd(bench.loop, (*server)->port(), (*server)->handshake(), "realtime:changing");
  if (const auto ok = crowd.connect(kChanging); !ok) return ok;
  for (std::size_t member = 0; member < kChanging; ++member) crowd.join(member, PresenceCrowd::Enabled::kNo);
  if (const auto ok = bench.loop.run_until([&] { return crowd.replies() == kChanging; }, "all to be joined"); !ok)
    return ok;
  // Everybody is told of everybody: all at once that would be more than a worker keeps for slow readers.
  for (std::size_t present = 0; present < kChanging;) {
    for (const std::size_t end = present + kArriving; present < end; ++present) crowd.track(present, present);
    const auto agree = [&] { return crowd.agree(static_cast<std::int64_t>(present)); };
    if (const auto ok = bench.loop.run_until(agree, "all to know of all", kPatience); !ok) return ok;
  }

  const auto before = settled_cpu_ns((*server)->pid());
  if (!before) return tl::make_unexpected(before.error());
  const std::uint64_t bytes = crowd.bytes();
  const std::uint64_t diffs = crowd.diffs();
  const std::size_t replies = crowd.replies() + kChangesPerSecond * static_cast<std::size_t>(kChangingTime.count());
  const auto begin = Clock::now();
  if (const auto ok = keep_changing(bench, crowd); !ok) return ok;
  // A witness that is given the state now is told what the others have to know.
  if (const auto ok = bench.loop.run_until([&] { return crowd.replies() == replies; }, "all changes to be taken"); !ok)
    return ok;
  PresenceCrowd witness(bench.loop, (*server)->port(), (*server)->handshake(), "realtime:changing");
  if (const auto ok = witness.connect(1); !ok) return ok;
  witness.join(0, PresenceCrowd::Enabled::kYes);
  const auto agree = [&] { return crowd.agree(kChanging) && witness.sum(0) == crowd.sum(0); };
  if (const auto ok = bench.loop.run_until(agree, "all to know the final state", kPatience); !ok) return ok;
  const double seconds = milliseconds(Clock::now() - begin) / 1e3;
  const auto after = settled_cpu_ns((*server)->pid());
  if (!after) return tl::make_unexpected(after.error());

  const std::string scenario = "presence, 500 of 5,000 change each second";
  const double changed_for = static_cast<double>(kChangingTime.count());
  add(bench, scenario, "until all knew the last change, from the first", "s", {seconds});
  add(bench, scenario, "server CPU per second of changes", "ms",
      {static_cast<double>(*after - *before) / 1e6 / changed_for});
  add(bench, scenario, "diffs received by all per second", "frames",
      {static_cast<double>(crowd.diffs() - diffs) / changed_for});
  add(bench, scenario, "on the wire per second", "MB",
      {static_cast<double>(crowd.bytes() - bytes) / 1e6 / changed_for});
  return {};
}

// The slope leaves out what the first entries bring into being. Channels are there before, so it is what tracking adds.
Result<void> memory(const Bench& bench) {
  const auto server = ServerProcess::start(config_of(bench));
  if (!server) return tl::make_unexpected(server.error());
  std::vector<std::unique_ptr<PresenceCrowd>> topics;
  for (std::size_t topic = 0; topic < kManyEntries / kMembersOfTopic; ++topic) {
    topics.push_back(std::make_unique<PresenceCrowd>(bench.loop, (*server)->port(), (*server)->handshake(),
                                                     "realtime:topic-" + std::to_string(topic)));
    PresenceCrowd& crowd = *topics.back();
    if (const auto ok = crowd.connect(kMembersOfTopic); !ok) return ok;
    for (std::size_t member = 0; member < kMembersOfTopic; ++member) crowd.join(member, PresenceCrowd::Enabled::kNo);
    if (const auto ok = bench.loop.run_until([&] { return crowd.replies() == kMembersOfTopic; }, "all to be joined");
        !ok)
      return ok;
  }
  Series bytes;
  for (const auto& [from, to] : {std::pair<std::size_t, std::size_t>{0, kFewEntries}, {kFewEntries, kManyEntries}}) {
    for (std::size_t topic = from / kMembersOfTopic; topic < to / kMembersOfTopic; ++topic) {
      PresenceCrowd& crowd = *topics[topic];
      for (std::size_t member = 0; member < kMembersOfTopic; ++member) crowd.track(member, member);
      if (const auto ok = bench.loop.run_until([&] { return crowd.agree(kMembersOfTopic); }, "all to know of all"); !ok)
        return ok;
    }
    const auto rss = settled_rss_bytes((*server)->pid());
    if (!rss) return tl::make_unexpected(rss.error());
    bytes.push_back(static_cast<double>(*rss));
  }
  add(bench, "presence, 100 on each of 120 topics", "memory per entry", "bytes",
      {(bytes[1] - bytes[0]) / static_cast<double>(kManyEntries - kFewEntries)}, kBytesPerEntryMax);
  return {};
}

}  // namespace

Result<void> presence(const Bench& bench) {
  if (const auto ok = arrive(bench); !ok) return ok;
  if (const auto ok = change(bench); !ok) return ok;
  return memory(bench);
}

}  // namespace rt::load
