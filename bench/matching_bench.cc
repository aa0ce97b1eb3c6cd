// Which subscriptions a change is for, among few and among many: what it costs follows those that match, not those that
// are there.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "domain/changes/matching.h"

namespace {

using namespace rt::changes;

constexpr Oid kInt8 = 20;
constexpr Oid kText = 25;

struct Chat {
  Chat() {
    auto chat = std::make_shared<Table>();
    chat->columns.push_back({.name = "id", .number = 1, .type = kInt8});
    chat->columns.push_back({.name = "room", .number = 2, .type = kInt8});
    chat->columns.push_back({.name = "body", .number = 3, .type = kText});
    table = std::move(chat);
    for (const Oid oid : {kInt8, kText}) types.put({.oid = oid, .schema = "pg_catalog"});
  }

  std::shared_ptr<const Table> table;
  Types types;
};

std::vector<Condition> conditions(const std::string& column, std::vector<std::pair<Op, std::int64_t>> tests) {
  std::vector<Condition> out;
  for (const auto& [op, value] : tests) {
    const std::string text = std::to_string(value);
    out.push_back({.filter = {.column = column, .op = op, .value = text}, .canonical = text});
  }
  return out;
}

// One row after the other, for one subscription each; the rooms in no order that a cache could follow.
void match_one_of(benchmark::State& state, std::vector<Condition> (*conditions_of)(std::int64_t)) {
  const Chat chat;
  SubscriptionIndex index(chat.table, chat.types, {}, {1, 2});
  const std::int64_t count = state.range(0);
  for (std::int64_t room = 0; room < count; ++room)
    index.add(static_cast<Handle>(room), std::nullopt, conditions_of(room));
  std::vector<std::string> rooms;
  for (std::int64_t n = 0; n < 4'096; ++n) rooms.push_back(std::to_string(n * 7'919 % count));
  Change change{.action = Action::kInsert, .table = chat.table};
  change.row.assign(3, {.kind = Value::Kind::kText, .text = "1"});
  Questions questions;
  std::size_t next = 0;
  benchmark::IterationCount found = 0;
  for (auto _ : state) {
    change.row[1].text = rooms[next++ % rooms.size()];
    found += static_cast<benchmark::IterationCount>(index.match(change, questions).sure.size());
  }
  if (found != state.iterations()) state.SkipWithError("not one subscription for each row");
}

void match_eq(benchmark::State& state) {
  match_one_of(state, [](std::int64_t room) { return conditions("room", {{Op::kEq, room}}); });
}

void match_range(benchmark::State& state) {
  match_one_of(state, [](std::int64_t room) { return conditions("room", {{Op::kGte, room}, {Op::kLt, room + 1}}); });
}

void add_and_remove(benchmark::State& state) {
  const Chat chat;
  SubscriptionIndex index(chat.table, chat.types, {}, {1, 2});
  const std::int64_t count = state.range(0);
  for (std::int64_t room = 0; room < count; ++room)
    index.add(static_cast<Handle>(room), std::nullopt, conditions("room", {{Op::kEq, room}}));
  const auto more = conditions("room", {{Op::kEq, count / 2}});
  for (auto _ : state) {
    index.add(static_cast<Handle>(count), std::nullopt, more);
    index.remove(static_cast<Handle>(count));
  }
}

BENCHMARK(match_eq)->ArgName("subscriptions")->Arg(100)->Arg(10'000)->Arg(100'000);
BENCHMARK(match_range)->ArgName("subscriptions")->Arg(100)->Arg(10'000)->Arg(100'000);
BENCHMARK(add_and_remove)->ArgName("subscriptions")->Arg(100)->Arg(10'000)->Arg(100'000);

}  // namespace
