#include "domain/changes/matching.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "domain/changes/predicate.h"
#include "domain/changes/range_tree.h"

namespace rt::changes {
namespace {

struct KeyHash {
  using is_transparent = void;
  HashKey key;
  std::size_t operator()(std::string_view text) const { return siphash(key, text); }
};

struct Bucket;
using Buckets = std::unordered_map<std::string, Bucket, KeyHash, std::equal_to<>>;

// Subscriptions that are found together. Each knows its seats, so that one can leave without a search.
struct Bucket {
  struct Member {
    Handle handle = 0;
    std::uint32_t seat = 0;  // index among its seats
    bool is_sure = false;    // every change by which it is found here is one for it
  };
  std::vector<Member> members{};
  Buckets* home = nullptr;  // where it goes from when it is empty; null: it stays
  const std::string* key = nullptr;
};
struct Seat {
  Bucket* bucket = nullptr;
  std::uint32_t index = 0;  // among the members
};

// A predicate of several subscriptions, judged once for each change.
struct SharedPredicate {
  Predicate predicate{};
  std::string name{};
  std::size_t uses = 0;
  std::uint64_t judged_at = 0;
  Verdict verdict = Verdict::kNo;
  std::uint64_t asked_at = 0;
  Questions::Index question = 0;
};
using PredicateId = std::uint32_t;

// By which the subscriptions are found that have a condition on one column.
struct ColumnIndex {
  explicit ColumnIndex(HashKey hash_key) : by_key(0, KeyHash{hash_key}) {}
  bool is_empty() const { return by_key.empty() && ranges.empty(); }

  Buckets by_key;
  RangeTree ranges;
};

// Those that want one action, or all.
struct Part {
  Bucket all{};
  Bucket unfiltered{};
  Bucket tried{};  // one by one
  std::map<std::size_t, ColumnIndex> columns{};
};
constexpr std::size_t kAnyAction = 3;

std::size_t part_of(std::optional<Action> action) { return action ? static_cast<std::size_t>(*action) : kAnyAction; }

struct Subscription {
  Part* part = nullptr;  // null: there is none with this handle
  std::vector<PredicateId> predicates{};
  std::vector<Seat> seats{};
  const RangeTree::Node* range = nullptr;
  std::size_t range_column = 0;
};

// What was made of a value for one change.
struct ColumnState {
  std::uint64_t seen_at = 0;
  std::uint64_t kept_at = 0;
  SeenValue value{};
  Questions::TextId kept = 0;
  std::string room{};
};

// Equal for conditions that are the same.
std::string name_of(const Condition& condition, std::size_t column) {
  const Filter& filter = condition.filter;
  std::string out = std::to_string(column);
  out.append(filter.is_negated ? "!" : ".").append(name_of(filter.op)).append(".");
  return out.append(std::to_string(filter.value.size())).append(".").append(filter.value).append(condition.canonical);
}

struct Named {
  Predicate predicate;
  std::string name;
};

}  // namespace

bool is_met(const Undecided& undecided, const Questions& questions) {
  return std::ranges::all_of(undecided.needs, [&](const Undecided::Need& need) {
    const std::optional<bool> answer = questions.answer_to(need.question);
    return answer && *answer != need.is_negated;
  });
}

struct SubscriptionIndex::Impl {
  void add(Handle handle, std::optional<Action> action, const std::vector<Condition>& conditions);
  void remove(Handle handle);
  Matches match(const Change& change, Questions& questions);

  std::optional<std::vector<Named>> made_ready(const std::vector<Condition>& conditions);
  ColumnIndex& index_of(Part& part, std::size_t column);
  void take_seat(Handle handle, Bucket& bucket, bool is_sure);
  void give_back(const Seat& seat);
  bool find_by_key(Handle handle, std::vector<Named>& predicates);
  std::size_t cost_of(const Part& part, const Predicate& predicate) const;
  bool find_by_range(Handle handle, std::vector<Named>& predicates);
  PredicateId share(Named named);
  void give_back(PredicateId id);

  const SeenValue& see(std::size_t column, const Values& values);
  Questions::TextId kept(std::size_t column, Questions& questions);
  void consider(Handle handle, const Change& change, Questions& questions, Matches& out);
  Verdict judge(PredicateId id, const Values& values);
  Questions::Index ask(SharedPredicate& shared, Questions& questions);

  std::shared_ptr<const Table> table;
  const Types& types;
  TextRules text_rules;
  HashKey hash_key;

  std::array<Part, kAnyAction + 1> parts{};
  std::vector<Subscription> subscriptions{};  // by handle
  std::size_t count = 0;
  std::vector<SharedPredicate> predicates{};
  std::vector<PredicateId> free_predicates{};
  std::unordered_map<std::string, PredicateId, KeyHash, std::equal_to<>> predicate_ids{0, KeyHash{hash_key}};
  std::vector<std::optional<ColumnRules>> rules{};  // by column, once it has a condition
  std::vector<ColumnState> columns{};
  std::uint64_t now = 0;  // counts changes
};

// --- Adding and removing

void SubscriptionIndex::Impl::add(Handle handle, std::optional<Action> action,
                                  const std::vector<Condition>& conditions) {
  if (handle >= subscriptions.size()) subscriptions.resize(handle + std::size_t{1});
  Subscription& subscription = subscriptions[handle];
  RT_CHECK(subscription.part == nullptr);
  Part& part = parts[part_of(action)];
  subscription.part = &part;
  ++count;
  take_seat(handle, part.all, true);
  auto ready = made_ready(conditions);
  if (!ready) return;  // nothing matches it, so it need not be found
  if (ready->empty()) return take_seat(handle, part.unfiltered, true);
  if (!find_by_key(handle, *ready) && !find_by_range(handle, *ready)) take_seat(handle, part.tried, false);
  for (Named& named : *ready) subscription.predicates.push_back(share(std::move(named)));
}

void SubscriptionIndex::Impl::remove(Handle handle) {
  RT_CHECK(handle < subscriptions.size() && subscriptions[handle].part != nullptr);
  Subscription& subscription = subscriptions[handle];
  Part& part = *subscription.part;
  for (const Seat& seat : subscription.seats) give_back(seat);
  for (const PredicateId id : subscription.predicates) give_back(id);
  if (subscription.range != nullptr) part.columns.at(subscription.range_column).ranges.remove(subscription.range);
  std::erase_if(part.columns, [](const auto& entry) { return entry.second.is_empty(); });
  subscription = {};
  --count;
}

// nullopt: one of them never matches.
std::optional<std::vector<Named>> SubscriptionIndex::Impl::made_ready(const std::vector<Condition>& conditions) {
  std::vector<Named> out;
  for (const Condition& condition : conditions) {
    const auto column = table->find(condition.filter.column);
    if (!column) return std::nullopt;
    auto& known = rules[*column];
    if (!known) known = rules_of(types, table->columns[*column].type, text_rules);
    if (!known) return std::nullopt;
    Named named{predicate_of(condition, *column, *known, text_rules), name_of(condition, *column)};
    if (named.predicate.kind == Predicate::Kind::kNever) return std::nullopt;
    out.push_back(std::move(named));
  }
  // What costs little is judged first.
  std::ranges::sort(out, {}, [](const Named& named) { return named.predicate.kind; });
  return out;
}

ColumnIndex& SubscriptionIndex::Impl::index_of(Part& part, std::size_t column) {
  return part.columns.try_emplace(column, hash_key).first->second;
}

void SubscriptionIndex::Impl::take_seat(Handle handle, Bucket& bucket, bool is_sure) {
  auto& seats = subscriptions[handle].seats;
  seats.push_back({&bucket, static_cast<std::uint32_t>(bucket.members.size())});
  bucket.members.push_back({handle, static_cast<std::uint32_t>(seats.size() - 1), is_sure});
}

void SubscriptionIndex::Impl::give_back(const Seat& seat) {
  Bucket& bucket = *seat.bucket;
  const Bucket::Member moved = bucket.members.back();
  bucket.members[seat.index] = moved;
  subscriptions[moved.handle].seats[moved.seat].index = seat.index;
  bucket.members.pop_back();
  if (bucket.members.empty() && bucket.home != nullptr) bucket.home->erase(bucket.home->find(*bucket.key));
}

// How many it would share its buckets with, and how many buckets these are: which condition tells most is seen from
// the subscriptions that are there.
std::size_t SubscriptionIndex::Impl::cost_of(const Part& part, const Predicate& predicate) const {
  std::size_t crowd = 0;
  const auto column = part.columns.find(predicate.column);
  if (column == part.columns.end()) return predicate.keys.size();
  for (const std::string& key : predicate.keys) {
    const auto bucket = column->second.by_key.find(key);
    if (bucket != column->second.by_key.end()) crowd = std::max(crowd, bucket->second.members.size());
  }
  return crowd + predicate.keys.size();
}

// The predicate by which it is found need not be judged, and goes.
bool SubscriptionIndex::Impl::find_by_key(Handle handle, std::vector<Named>& ready) {
  Part& part = *subscriptions[handle].part;
  auto best = ready.end();
  std::size_t best_cost = 0;
  for (auto named = ready.begin(); named != ready.end(); ++named) {
    if (!named->predicate.is_found_by_key()) continue;
    const std::size_t cost = cost_of(part, named->predicate);
    if (best != ready.end() && cost >= best_cost) continue;
    best = named;
    best_cost = cost;
  }
  if (best == ready.end()) return false;
  for (std::string& key : best->predicate.keys) {
    Buckets& buckets = index_of(part, best->predicate.column).by_key;
    const auto place = buckets.try_emplace(std::move(key)).first;
    place->second.home = &buckets;
    place->second.key = &place->first;
    take_seat(handle, place->second, ready.size() == 1);
  }
  ready.erase(best);
  return true;
}

// By all that it says of one column, where it says most of.
bool SubscriptionIndex::Impl::find_by_range(Handle handle, std::vector<Named>& ready) {
  std::map<std::size_t, std::pair<std::size_t, KeyRange>> ranges;  // by column; how many ends it has
  for (const Named& named : ready) {
    if (named.predicate.kind != Predicate::Kind::kRange) continue;
    auto& [ends, range] = ranges[named.predicate.column];
    range.narrow(named.predicate.range);
    ends = (range.lower == KeyRange{}.lower ? 0 : 1) + (range.upper == KeyRange{}.upper ? 0 : 1);
  }
  if (ranges.empty()) return false;
  const auto best = std::ranges::max_element(ranges, {}, [](const auto& entry) { return entry.second.first; });
  Subscription& subscription = subscriptions[handle];
  subscription.range_column = best->first;
  subscription.range = index_of(*subscription.part, best->first).ranges.add(std::move(best->second.second), handle);
  std::erase_if(ready, [&](const Named& named) {
    return named.predicate.kind == Predicate::Kind::kRange && named.predicate.column == subscription.range_column;
  });
  return true;
}

PredicateId SubscriptionIndex::Impl::share(Named named) {
  const auto next = static_cast<PredicateId>(free_predicates.empty() ? predicates.size() : free_predicates.back());
  const auto [place, is_new] = predicate_ids.try_emplace(named.name, next);
  if (is_new) {
    if (free_predicates.empty()) {
      predicates.emplace_back();
    } else {
      free_predicates.pop_back();
    }
    predicates[next] = {.predicate = std::move(named.predicate), .name = std::move(named.name)};
  }
  ++predicates[place->second].uses;
  return place->second;
}

void SubscriptionIndex::Impl::give_back(PredicateId id) {
  if (--predicates[id].uses > 0) return;
  predicate_ids.erase(predicate_ids.find(predicates[id].name));
  predicates[id] = {};
  free_predicates.push_back(id);
}

// --- Matching

Matches SubscriptionIndex::Impl::match(const Change& change, Questions& questions) {
  ++now;
  Matches out;
  for (const std::size_t index : {part_of(change.action), kAnyAction}) {
    const Part& part = parts[index];
    for (const Bucket::Member& member : part.unfiltered.members) out.sure.push_back(member.handle);
    for (const auto& [column, found] : part.columns) {
      const SeenValue& value = see(column, change.seen());
      if (!value.key) continue;
      if (const auto bucket = found.by_key.find(*value.key); bucket != found.by_key.end()) {
        for (const Bucket::Member& member : bucket->second.members) {
          if (member.is_sure) {
            out.sure.push_back(member.handle);
          } else {
            consider(member.handle, change, questions, out);
          }
        }
      }
      found.ranges.find(*value.key, [&](Handle handle) { consider(handle, change, questions, out); });
    }
    for (const Bucket::Member& member : part.tried.members) consider(member.handle, change, questions, out);
  }
  return out;
}

// Postgres is asked only where all else matches.
void SubscriptionIndex::Impl::consider(Handle handle, const Change& change, Questions& questions, Matches& out) {
  const auto& ids = subscriptions[handle].predicates;
  bool is_sure = true;
  for (const PredicateId id : ids) {
    const Verdict verdict = judge(id, change.seen());
    if (verdict == Verdict::kNo) return;
    is_sure = is_sure && verdict == Verdict::kYes;
  }
  if (is_sure) {
    out.sure.push_back(handle);
    return;
  }
  Undecided undecided{.handle = handle, .needs = {}};
  for (const PredicateId id : ids) {
    SharedPredicate& shared = predicates[id];
    if (shared.verdict != Verdict::kAsk) continue;
    undecided.needs.push_back({ask(shared, questions), shared.predicate.is_negated});
  }
  out.perhaps.push_back(std::move(undecided));
}

Verdict SubscriptionIndex::Impl::judge(PredicateId id, const Values& values) {
  SharedPredicate& shared = predicates[id];
  if (std::exchange(shared.judged_at, now) != now)
    shared.verdict = shared.predicate.judge(see(shared.predicate.column, values));
  return shared.verdict;
}

Questions::Index SubscriptionIndex::Impl::ask(SharedPredicate& shared, Questions& questions) {
  if (std::exchange(shared.asked_at, now) != now) {
    const Predicate& predicate = shared.predicate;
    shared.question = questions.ask({.type = predicate.rules.type,
                                     .op = predicate.op,
                                     .value = kept(predicate.column, questions),
                                     .operand = questions.keep(predicate.text)});
  }
  return shared.question;
}

const SeenValue& SubscriptionIndex::Impl::see(std::size_t column, const Values& values) {
  ColumnState& state = columns[column];
  if (std::exchange(state.seen_at, now) == now) return state.value;
  state.value = {};
  const Value value = column < values.size() ? values[column] : Value{};
  const ColumnRules& of_column = *rules[column];
  switch (value.kind) {
    case Value::Kind::kAbsent:
    case Value::Kind::kFromBefore:
      break;
    case Value::Kind::kNull:
      state.value.kind = SeenValue::Kind::kNull;
      break;
    case Value::Kind::kText:
      if (of_column.has_null_numbers && is_no_number(value.text)) {
        state.value.kind = SeenValue::Kind::kNull;
        break;
      }
      state.value = {
          .kind = SeenValue::Kind::kText, .text = value.text, .key = key_of(of_column.keys, value.text, state.room)};
  }
  return state.value;
}

Questions::TextId SubscriptionIndex::Impl::kept(std::size_t column, Questions& questions) {
  ColumnState& state = columns[column];
  if (std::exchange(state.kept_at, now) != now) state.kept = questions.keep(state.value.text);
  return state.kept;
}

// --- What its owner calls

SubscriptionIndex::SubscriptionIndex(std::shared_ptr<const Table> table, const Types& types, TextRules rules,
                                     HashKey hash_key)
    : impl_(new Impl{.table = std::move(table), .types = types, .text_rules = rules, .hash_key = hash_key}) {
  impl_->rules.resize(impl_->table->columns.size());
  impl_->columns.resize(impl_->table->columns.size());
}

SubscriptionIndex::~SubscriptionIndex() = default;

void SubscriptionIndex::add(Handle handle, std::optional<Action> action, const std::vector<Condition>& conditions) {
  impl_->add(handle, action, conditions);
}

void SubscriptionIndex::remove(Handle handle) { impl_->remove(handle); }

std::size_t SubscriptionIndex::size() const { return impl_->count; }

bool SubscriptionIndex::has(Handle handle) const {
  return handle < impl_->subscriptions.size() && impl_->subscriptions[handle].part != nullptr;
}

Matches SubscriptionIndex::match(const Change& change, Questions& questions) const {
  return impl_->match(change, questions);
}

std::vector<Handle> SubscriptionIndex::all(Action action) const {
  std::vector<Handle> out;
  for (const std::size_t index : {part_of(action), kAnyAction}) {
    for (const Bucket::Member& member : impl_->parts[index].all.members) out.push_back(member.handle);
  }
  return out;
}

bool SubscriptionIndex::wants(Action action) const {
  return !impl_->parts[part_of(action)].all.members.empty() || !impl_->parts[kAnyAction].all.members.empty();
}

}  // namespace rt::changes
