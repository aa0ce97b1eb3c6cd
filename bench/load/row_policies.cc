// Rows of a table with policies: who may see which is found out for everybody who listens, so what a transaction costs
// grows with its rows and with them.
//
// Beside it stands a loop in Postgres that becomes each user for each row and looks for the row, without any server: it
// is what asking once for each row and listener costs at least. Server and clients have a core each, as always;
// Postgres runs on both, where the kernel finds room.
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/change_stage.h"
#include "load/scenario.h"

namespace rt::load {
namespace {

constexpr int kTransactionsPerRun = 2;
constexpr std::size_t kLoopUsers = 50;
constexpr std::size_t kLoopRows = 100;
constexpr double kLatencyUsMax = 20'000;
constexpr double kRatioMax = 1.0 / 20;
constexpr double kCpuUsMax = 18.0 / 20;  // the reference server takes 18 on such a machine

constexpr std::string_view kTables = R"(
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO PUBLIC;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT (current_setting('request.jwt.claims', true)::jsonb ->> 'sub')::uuid $$;
CREATE FUNCTION owner_of(number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
  $$ SELECT ('00000000-0000-4000-8000-' || lpad(number::text, 12, '0'))::uuid $$;
CREATE TABLE owned (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner uuid NOT NULL, body text);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owned FOR SELECT TO authenticated USING (auth.uid() = owner);
INSERT INTO owned (owner, body) SELECT owner_of(i), repeat('x', 100) FROM generate_series(1, 100000) AS i;
CREATE INDEX ON owned (owner);
ANALYZE owned;
)";

std::string user(std::size_t number) {
  char text[48];
  std::snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012zu", number);
  return text;
}

struct Shape {
  std::size_t users;
  std::size_t rows;

  double pairs() const { return static_cast<double>(users * rows); }
  std::string name() const {
    return "rows under a policy, " + std::to_string(users) + " users x " + std::to_string(rows) + " rows";
  }
};

// Of users who are spread evenly over those who listen.
std::string insert(const Shape& shape) {
  return "INSERT INTO owned (owner, body) SELECT owner_of(i * " + std::to_string(shape.users) + " / " +
         std::to_string(shape.rows) + "), repeat('x', 100) FROM generate_series(0, " + std::to_string(shape.rows - 1) +
         ") AS i";
}

// The rows are those that were inserted last.
std::string loop() {
  return R"(DO $$
DECLARE
  rows bigint[] := ARRAY(SELECT id FROM owned ORDER BY id DESC LIMIT )" +
         std::to_string(kLoopRows) + R"();
  claims text[] := ARRAY(SELECT json_build_object('role', 'authenticated', 'sub', owner_of(i))
                         FROM generate_series(0, )" +
         std::to_string(kLoopUsers - 1) + R"() AS i);
  line bigint;
  claim text;
  is_there int;
BEGIN
  FOREACH line IN ARRAY rows LOOP
    FOREACH claim IN ARRAY claims LOOP
      PERFORM set_config('role', 'authenticated', true), set_config('request.jwt.claims', claim, true);
      EXECUTE 'EXECUTE look(' || line || ')' INTO is_there;
    END LOOP;
  END LOOP;
END $$)";
}

Result<void> add_users(ChangeStage& stage, std::size_t count) {
  std::vector<Listener> listeners;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string token = stage.server().token_of_user(user(stage.listeners().size() + i));
    listeners.push_back({.token = token, .channels = {{"realtime:rows", {change_entry("owned")}}}});
  }
  if (const auto added = stage.listeners().add(std::move(listeners)); !added) return added;
  // Everybody sees what is theirs and nothing else.
  const std::size_t users = stage.listeners().size();
  if (const auto told = stage.measure(insert({.users = users, .rows = users}), users); !told)
    return tl::make_unexpected(told.error());
  return stage.listeners().check_each(1);
}

// For each row and user.
struct LoopCost {
  double us = 0;
  double cpu_us = 0;
};

Result<LoopCost> measure_loop(ChangeStage& stage) {
  constexpr double kPairs = kLoopUsers * kLoopRows;
  const auto cpu_before = stage.postgres().cpu_ns();
  if (!cpu_before) return tl::make_unexpected(cpu_before.error());
  const auto before = std::chrono::steady_clock::now();
  if (const auto done = stage.session().run(loop()); !done) return tl::make_unexpected(done.error());
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - before;
  const auto cpu_after = stage.postgres().cpu_ns();
  if (!cpu_after) return tl::make_unexpected(cpu_after.error());
  return LoopCost{.us = took.count() / kPairs, .cpu_us = static_cast<double>(*cpu_after - *cpu_before) / 1e3 / kPairs};
}

// From the COMMIT on.
Result<ChangeStage::Cost> measure_transaction(ChangeStage& stage, const Shape& shape) {
  if (const auto begun = stage.session().run("BEGIN; " + insert(shape)); !begun)
    return tl::make_unexpected(begun.error());
  return stage.measure("COMMIT", shape.rows);
}

Result<void> measure_shape(const Bench& bench, ChangeStage& stage, const Shape& shape) {
  Series told_ms;
  Series loop_ms;
  Series cpu_us;
  Series loop_cpu_us;
  Series server_us;
  for (int run = 0; run < bench.runs; ++run) {
    ChangeStage::Cost sum;
    for (int i = 0; i < kTransactionsPerRun; ++i) {
      const auto cost = measure_transaction(stage, shape);
      if (!cost) return tl::make_unexpected(cost.error());
      if (stage.listeners().received() != shape.rows) return fail("a row was told to somebody who may not see it");
      sum.seconds += cost->seconds / kTransactionsPerRun;
      sum.cpu.server_ns += cost->cpu.server_ns / kTransactionsPerRun;
      sum.cpu.postgres_ns += cost->cpu.postgres_ns / kTransactionsPerRun;
    }
    const auto loop = measure_loop(stage);
    if (!loop) return tl::make_unexpected(loop.error());
    told_ms.push_back(sum.seconds * 1e3);
    loop_ms.push_back(loop->us * shape.pairs() / 1e3);
    cpu_us.push_back((sum.cpu.server_ns + sum.cpu.postgres_ns) / 1e3 / shape.pairs());
    loop_cpu_us.push_back(loop->cpu_us);
    server_us.push_back(sum.cpu.server_ns / 1e3 / shape.pairs());
  }
  Series ratio = ratios(told_ms, loop_ms);
  bench.report.add({.scenario = shape.name(),
                    .figure = "COMMIT until all are told",
                    .unit = "ms",
                    .decimals = 1,
                    .values = std::move(told_ms),
                    .baseline = std::move(loop_ms),
                    .ratio = std::move(ratio),
                    .ratio_max = kRatioMax});
  Series cpu_ratio = ratios(cpu_us, loop_cpu_us);
  bench.report.add({.scenario = shape.name(),
                    .figure = "CPU of Postgres and server for a row and user",
                    .unit = "µs",
                    .decimals = 2,
                    .values = std::move(cpu_us),
                    .baseline = std::move(loop_cpu_us),
                    .ratio = std::move(cpu_ratio),
                    .value_max = kCpuUsMax});
  bench.report.add({.scenario = shape.name(),
                    .figure = "of it the server's",
                    .unit = "µs",
                    .decimals = 3,
                    .values = std::move(server_us)});
  return {};
}

}  // namespace

Result<void> row_policies(const Bench& bench) {
  const auto stage = ChangeStage::set(bench, kTables);
  if (!stage) return tl::make_unexpected(stage.error());
  if (const auto made = (*stage)->session().run("PREPARE look(bigint) AS SELECT 1 FROM owned WHERE id = $1"); !made)
    return made;
  if (const auto added = add_users(**stage, 1); !added) return added;
  if (const auto ok = measure_single_rows(bench, **stage, "a row under a policy to one listener",
                                          insert({.users = 1, .rows = 1}), kLatencyUsMax);
      !ok)
    return ok;
  if (const auto added = add_users(**stage, 499); !added) return added;
  for (const Shape& shape : {Shape{500, 100}, Shape{500, 200}}) {
    if (const auto ok = measure_shape(bench, **stage, shape); !ok) return ok;
  }
  if (const auto added = add_users(**stage, 500); !added) return added;
  return measure_shape(bench, **stage, {1'000, 100});
}

}  // namespace rt::load
