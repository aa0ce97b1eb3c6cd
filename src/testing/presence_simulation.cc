// Runs random histories of presence on many nodes until the time is up, on as many threads as asked for, and what an
// entry costs in memory. A history that goes wrong is named by its seed, which makes it happen again.

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"
#include "domain/presence/state.h"
#include "testing/presence_history.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBytesPerPresenceMax = 400;

// Of an entry with a key of its own, besides the text of its payload, for keys as long as a UUID.
std::size_t bytes_per_presence() {
  constexpr std::size_t kPresences = 100'000;
  constexpr std::string_view kPayload = R"({"name":"somebody"})";
  const std::size_t before = mallinfo2().uordblks;
  rt::presence::PresenceState state({1, 1});
  for (std::size_t i = 0; i < kPresences; ++i) {
    std::string key = std::to_string(i);
    key.resize(36, '-');
    state.join("room", key, rt::PresencePayload(kPayload));
  }
  return (mallinfo2().uordblks - before) / kPresences - kPayload.size();
}

struct Totals {
  std::atomic<std::uint64_t> histories = 0;
  std::atomic<std::uint64_t> messages = 0;
  std::atomic<std::uint64_t> events = 0;
  std::atomic<std::uint64_t> failures = 0;
};

bool run_one(std::uint64_t seed, Totals& totals) {
  const auto outcome = rt::run_presence_history(seed);
  ++totals.histories;
  totals.messages += outcome.messages;
  totals.events += outcome.events;
  if (outcome.fault.empty()) return true;
  ++totals.failures;
  static std::mutex output;
  const std::lock_guard lock(output);
  std::printf("seed %llu: %s\n  again: ./dev simulate --seed %llu\n", static_cast<unsigned long long>(seed),
              outcome.fault.c_str(), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return false;
}

void print(const Totals& totals, double seconds) {
  std::printf("%llu histories, %llu events of clients, %llu messages, %llu divergences, in %.0f s\n",
              static_cast<unsigned long long>(totals.histories), static_cast<unsigned long long>(totals.events),
              static_cast<unsigned long long>(totals.messages), static_cast<unsigned long long>(totals.failures),
              seconds);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0;
  std::optional<std::uint64_t> seed;
  std::uint64_t first = rt::SystemRandom().next();
  std::uint64_t histories_max = UINT64_MAX;
  unsigned threads = std::thread::hardware_concurrency();
  CLI::App app("Random histories of presence on 3 to 7 nodes, against a trivial model");
  app.add_option("seconds", seconds, "how long; without it, until one fails or you stop it");
  app.add_option("--seed", seed, "only the history of this seed");
  app.add_option("--first", first, "the first seed; the others follow it");
  app.add_option("--histories", histories_max, "at most so many");
  app.add_option("--threads", threads, "on so many threads")->check(CLI::Range(1U, 256U));
  CLI11_PARSE(app, argc, argv);

  Totals totals;
  const auto began = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - began).count(); };
  if (seed) {
    run_one(*seed, totals);
    print(totals, elapsed());
    return totals.failures == 0 ? 0 : 1;
  }

  const std::size_t bytes = bytes_per_presence();
  std::printf("a presence takes %zu bytes besides its meta, of %zu allowed\n", bytes, kBytesPerPresenceMax);
  std::printf("seeds from %llu\n", static_cast<unsigned long long>(first));
  std::fflush(stdout);

  std::atomic<std::uint64_t> next = 0;
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < threads; ++i)
    workers.emplace_back([&] {
      while (totals.failures == 0 && (seconds == 0 || elapsed() < seconds)) {
        const std::uint64_t number = next++;
        if (number >= histories_max) return;
        run_one(first + number, totals);
        if (seconds == 0 && number % 10'000 == 9'999) print(totals, elapsed());
      }
    });
  for (std::thread& worker : workers) worker.join();
  print(totals, elapsed());
  return totals.failures == 0 && totals.histories > 0 && bytes <= kBytesPerPresenceMax ? 0 : 1;
}
