// A condition made ready: what its operator, its value and the type of its column come to.
//
// Negations are gone where the other operator says the same (`not.lt` is `gte`; neither matches NULL), and most
// operators have become one of two questions to the key of a value: is it one of these, is it in that range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/condition.h"
#include "domain/changes/key_range.h"
#include "domain/changes/table.h"
#include "domain/changes/value_key.h"

namespace rt::changes {

// How the values of a column are looked at.
struct ColumnRules {
  Oid type = 0;  // what its domain is made of, if it is of one
  KeyKind keys = KeyKind::kNone;
  bool is_ordered = false;
  // NaN and the infinite ones are shown to clients as null, so that is what filters see. In a domain they are shown as
  // strings.
  bool has_null_numbers = false;
  bool is_composite = false;
};
// nullopt: the type is not known.
std::optional<ColumnRules> rules_of(const Types& types, Oid type, const TextRules& rules);

// A value as predicates see it.
struct SeenValue {
  enum class Kind : std::uint8_t { kAbsent, kNull, kText };
  Kind kind = Kind::kAbsent;
  std::string_view text{};
  std::optional<std::string_view> key{};  // nullopt: the type has none, or the text is not what it writes
};

enum class Verdict : std::uint8_t { kNo, kYes, kAsk };

struct Predicate {
  enum class Kind : std::uint8_t {
    kNever,
    kNullness,  // any value, or none
    kKeys,      // the key is one of `keys`, or is_negated and it is none of them
    kRange,
    kLike,
    kIlike,
    kAsk,  // `op` and `text` for Postgres
  };
  Kind kind = Kind::kNever;
  std::size_t column = 0;  // its place in the table
  bool matches_null = false;
  bool is_negated = false;  // of kKeys, kLike, kIlike and kAsk
  std::vector<std::string> keys{};
  KeyRange range{};
  ColumnRules rules{};
  Op op = Op::kEq;     // of kIlike and kAsk
  std::string text{};  // of kLike and kIlike the pattern, of kAsk the operand

  Verdict judge(const SeenValue& value) const;
  // So few keys match that a subscription can be found by them.
  bool is_found_by_key() const { return kind == Kind::kKeys && !is_negated && !matches_null; }
};

// `rules` are those of the column.
Predicate predicate_of(const Condition& condition, std::size_t column, const ColumnRules& rules,
                       const TextRules& text_rules);

}  // namespace rt::changes
