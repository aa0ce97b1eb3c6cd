// Which subscriptions of a table a change is for, found by what matches rather than by going through all there are.
//
// A subscription with an `eq` or `in` on a column whose equality is that of its text is found by the value of the row;
// ranges over numbers by their place; the others are tried one by one. Conditions that only Postgres can decide
// (regular expressions, collations, types of users) become questions, each asked once for all changes of a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "domain/changes/change.h"
#include "domain/changes/condition.h"
#include "domain/changes/questions.h"
#include "domain/changes/table.h"

namespace rt::changes {

// A subscription as its owner knows it: small numbers, used again.
using Handle = std::uint32_t;

struct Undecided {
  struct Need {
    Questions::Index question = 0;
    bool is_negated = false;
  };
  Handle handle = 0;
  std::vector<Need> needs;  // all of them
};
struct Matches {
  std::vector<Handle> sure;  // in no order
  std::vector<Undecided> perhaps;
};
// Whether all needs are met, once they are answered.
bool is_met(const Undecided& undecided, const Questions& questions);

class SubscriptionIndex {  // of one table, used on one thread
 public:
  // `types` outlives it. A filter whose column is not there, or not of a known type, matches nothing. `hash_key` is
  // random, so that no client can choose values that all fall into one bucket.
  SubscriptionIndex(std::shared_ptr<const Table> table, const Types& types, TextRules rules, HashKey hash_key);
  ~SubscriptionIndex();
  SubscriptionIndex(const SubscriptionIndex&) = delete;
  SubscriptionIndex& operator=(const SubscriptionIndex&) = delete;

  // A handle is there once at most. Conditions: all have to match; none: every row does.
  void add(Handle handle, std::optional<Action> action, const std::vector<Condition>& conditions);
  void remove(Handle handle);
  std::size_t size() const;
  bool has(Handle handle) const;

  // Those that want `change`, which is one of the table as it was given to the constructor.
  Matches match(const Change& change, Questions& questions) const;
  // Those that want the action, whatever their filters.
  std::vector<Handle> all(Action action) const;
  bool wants(Action action) const;  // there are any

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rt::changes
