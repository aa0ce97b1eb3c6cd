// Messages that SQL writes into the tenant's Postgres: how long one takes from its call to the socket, and what many
// cost.
//
// Server and clients have a core each, as always; Postgres runs on both, where the kernel finds room.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "load/crowd.h"
#include "load/postgres_process.h"
#include "load/scenario.h"
#include "load/with_database.h"

namespace rt::load {
namespace {

constexpr std::size_t kReceivers = 10;
constexpr std::size_t kSingle = 300;   // of a run
constexpr std::size_t kMany = 20'000;  // likewise
constexpr double kLatencyMaxUs = 5'000;

// Each in a transaction of its own, with the time of the call, and some time apart.
const std::string kSendSingle =
    "DO $$ BEGIN FOR i IN 1.." + std::to_string(kSingle) +
    " LOOP PERFORM realtime.send(jsonb_build_object('at', extract(epoch FROM clock_timestamp()) * 1000000), 'e', "
    "'stored', false); COMMIT; PERFORM pg_sleep(0.005); END LOOP; END $$;";
const std::string kSendMany =
    "INSERT INTO realtime.messages (topic, extension, event, private, payload) SELECT 'stored', 'broadcast', 'e', "
    "false, jsonb_build_object('x', repeat('x', 100)) FROM generate_series(1, " +
    std::to_string(kMany) + ");";

class Receivers final : public ClientEvents {
 public:
  void on_frame(Client&, const Frame& frame) override {
    ++received_;
    constexpr std::string_view kMark = "\"at\": ";
    const std::size_t at = frame.payload.find(kMark);
    if (at == std::string_view::npos) return;
    double sent_us = 0;
    std::from_chars(frame.payload.data() + at + kMark.size(), frame.payload.data() + frame.payload.size(), sent_us);
    const std::chrono::duration<double, std::micro> arrived = frame.arrived.time_since_epoch();
    latencies_us_.push_back(arrived.count() - sent_us);
  }
  void begin() {
    received_ = 0;
    latencies_us_.clear();
  }
  std::size_t received() const { return received_; }
  double latency_us(double quantile) {
    const auto rank = static_cast<std::ptrdiff_t>(quantile * static_cast<double>(latencies_us_.size() - 1));
    std::ranges::nth_element(latencies_us_, latencies_us_.begin() + rank);
    return latencies_us_[static_cast<std::size_t>(rank)];
  }

 private:
  std::size_t received_ = 0;
  std::vector<double> latencies_us_;
};

// The stream begins some time after the first client has joined.
Result<void> wait_for_stream(const Bench& bench, PostgresProcess& postgres, Receivers& receivers) {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (const auto sent = postgres.sql("SELECT realtime.send('{}', 'e', 'stored', false);"); !sent) return sent;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    if (const auto turned = bench.loop.run_to(until); !turned) return turned;
    if (receivers.received() > 0) return {};
  }
  return fail("messages of the database do not come");
}

Result<void> send(const Bench& bench, PostgresProcess& postgres, Receivers& receivers, const std::string& statement,
                  std::size_t messages) {
  receivers.begin();
  const auto sending = postgres.begin_sql(statement);
  if (!sending) return tl::make_unexpected(sending.error());
  const auto is_done = [&] { return receivers.received() >= messages * kReceivers && (*sending)->has_ended(); };
  return bench.loop.run_until(is_done, "messages of the database");
}

}  // namespace

Result<void> stored_messages(const Bench& bench) {
  const auto postgres = PostgresProcess::start(bench.server.program, bench.all_cores);
  if (!postgres) return tl::make_unexpected(postgres.error());
  const auto server = ServerProcess::start(with_database(bench, **postgres));
  if (!server) return tl::make_unexpected(server.error());
  Receivers receivers;
  Crowd clients(bench.loop, (*server)->port(), (*server)->handshake());
  const auto joined = clients.add(kReceivers, [](std::size_t) { return Crowd::Topics{"realtime:stored"}; });
  if (!joined) return joined;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    if (const auto stamped = clients[i].stamp_arrivals(); !stamped) return stamped;
  }
  clients.tell(receivers);
  if (const auto ok = wait_for_stream(bench, **postgres, receivers); !ok) return ok;

  Series p50;
  Series p99;
  Series server_us;
  Series postgres_us;
  for (int run = 0; run < bench.runs; ++run) {
    if (const auto ok = send(bench, **postgres, receivers, kSendSingle, kSingle); !ok) return ok;
    p50.push_back(receivers.latency_us(0.5));
    p99.push_back(receivers.latency_us(0.99));
    const auto before = cpu_times(**server, **postgres);
    if (!before) return tl::make_unexpected(before.error());
    if (const auto ok = send(bench, **postgres, receivers, kSendMany, kMany); !ok) return ok;
    const auto after = cpu_times(**server, **postgres);
    if (!after) return tl::make_unexpected(after.error());
    const CpuTimes used = *after - *before;
    server_us.push_back(used.server_ns / 1e3 / kMany);
    postgres_us.push_back(used.postgres_ns / 1e3 / kMany);
  }
  const std::string one = "messages from the database, one at a time";
  bench.report.add({.scenario = one, .figure = "latency p50", .unit = "µs", .values = p50, .value_max = kLatencyMaxUs});
  bench.report.add({.scenario = one, .figure = "latency p99", .unit = "µs", .values = p99});
  const std::string many = "messages from the database, 20,000 in one transaction";
  bench.report.add(
      {.scenario = many, .figure = "server CPU", .unit = "µs/message", .decimals = 1, .values = server_us});
  bench.report.add(
      {.scenario = many, .figure = "Postgres CPU", .unit = "µs/message", .decimals = 1, .values = postgres_us});
  return {};
}

}  // namespace rt::load
