#include "domain/changes/predicate.h"

#include <algorithm>
#include <utility>

#include "domain/changes/array_items.h"
#include "domain/changes/like.h"

namespace rt::changes {
namespace {

using Kind = Predicate::Kind;

constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kNumeric = 1700;
constexpr Oid kTimetz = 1266;

// Their text may mean something else a second later.
bool depends_on_time(const ColumnRules& rules, const std::string& written) {
  // A time with a time zone that has a name is in summer time or not, today.
  return rules.type == kTimetz || (may_depend_on_time(rules.keys) && mentions_time(written));
}

std::optional<std::string> owned_key(KeyKind kind, std::string_view text) {
  std::string room;
  const auto key = key_of(kind, text, room);
  if (!key) return std::nullopt;
  return std::string(*key);
}

// Clients see a bytea as its digits without `\x`, so that is how they may write it. To Postgres `0102` is four
// characters.
std::optional<std::string> digits_of_bytea(std::string_view written) {
  std::string digits(written);
  for (char& c : digits) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c | 0x20);
  }
  if (digits.size() % 2 != 0) return std::nullopt;
  return owned_key(KeyKind::kBytea, "\\x" + digits);
}

// Makes one predicate. Each function gives up (false) where C++ is not able to decide.
class Making {
 public:
  Making(const Condition& condition, std::size_t column, const ColumnRules& rules, const TextRules& text_rules)
      : condition_(condition), filter_(condition.filter), text_rules_(text_rules) {
    out_.column = column;
    out_.rules = rules;
    out_.op = filter_.op;
    out_.is_negated = filter_.is_negated;
  }

  Predicate make() {
    const bool is_decided = out_.op != Op::kMatch && out_.op != Op::kImatch && decide();
    if (!is_decided) ask();
    return std::move(out_);
  }

 private:
  bool decide() {
    switch (filter_.op) {
      case Op::kIs:
        return is();
      case Op::kNeq:
        out_.is_negated = !out_.is_negated;
        out_.op = Op::kEq;
        return equals();
      case Op::kIsDistinct:
        out_.matches_null = !out_.is_negated;
        out_.is_negated = !out_.is_negated;
        out_.op = Op::kEq;
        return equals();
      case Op::kEq:
        return equals();
      case Op::kIn:
        return is_in();
      case Op::kLike:
      case Op::kIlike:
        return is_like();
      default:
        return compares();
    }
  }

  bool is() {
    const std::string& what = filter_.value;
    const bool negated = filter_.is_negated;
    if (what == "null" || what == "unknown") {
      out_.kind = Kind::kNullness;
      out_.matches_null = !negated;
    } else if (out_.rules.keys == KeyKind::kBool && (what == "true" || what == "false")) {
      out_.kind = Kind::kKeys;
      out_.keys = {what == "true" ? "1" : "0"};
      out_.matches_null = negated;
    } else {
      out_.kind = Kind::kNever;
    }
    return true;
  }

  bool equals() {
    if (depends_on_time(out_.rules, filter_.value)) return false;
    auto key = owned_key(out_.rules.keys, condition_.canonical);
    if (!key) return false;
    out_.kind = Kind::kKeys;
    add_key(*std::move(key), filter_.value);
    return true;
  }

  bool is_in() {
    const auto items = array_items(condition_.canonical);
    if (!items) return false;
    // What is none of the others may still be the one that nobody knows.
    if (out_.is_negated && std::ranges::any_of(*items, [](const auto& item) { return !item; })) {
      out_.kind = Kind::kNever;
      return true;
    }
    if (depends_on_time(out_.rules, filter_.value)) return false;
    const auto written = array_items(filter_.value);
    for (std::size_t i = 0; i < items->size(); ++i) {
      const auto& item = (*items)[i];
      if (!item) continue;
      auto key = owned_key(out_.rules.keys, *item);
      if (!key) {
        out_.keys.clear();
        return false;
      }
      const bool is_known = written && written->size() == items->size() && (*written)[i];
      add_key(*std::move(key), is_known ? *(*written)[i] : *item);
    }
    std::ranges::sort(out_.keys);
    const auto repeated = std::ranges::unique(out_.keys);
    out_.keys.erase(repeated.begin(), repeated.end());
    out_.kind = Kind::kKeys;
    return true;
  }

  void add_key(std::string key, const std::string& written) {
    if (out_.rules.keys == KeyKind::kBytea) {
      if (auto digits = digits_of_bytea(written); digits && *digits != key) out_.keys.push_back(*std::move(digits));
    }
    out_.keys.push_back(std::move(key));
    std::ranges::sort(out_.keys);
  }

  bool compares() {
    if (!out_.rules.is_ordered || depends_on_time(out_.rules, filter_.value)) return false;
    auto key = owned_key(out_.rules.keys, condition_.canonical);
    // There is one order only: of the two ways to write a bytea, the one that clients see.
    if (out_.rules.keys == KeyKind::kBytea) {
      if (auto digits = digits_of_bytea(filter_.value)) key = std::move(digits);
    }
    if (!key) return false;
    const bool negated = std::exchange(out_.is_negated, false);
    const bool is_upper = (filter_.op == Op::kLt || filter_.op == Op::kLte) != negated;
    const bool is_above = filter_.op == Op::kLte || filter_.op == Op::kGt;
    (is_upper ? out_.range.upper : out_.range.lower) =
        End{.where = is_above ? End::Where::kAbove : End::Where::kBelow, .key = *std::move(key)};
    out_.kind = Kind::kRange;
    return true;
  }

  bool is_like() {
    if (ends_in_escape(filter_.value)) {
      out_.kind = Kind::kNever;
      return true;
    }
    const KeyKind keys = out_.rules.keys;
    if (keys != KeyKind::kText && keys != KeyKind::kBlanked && keys != KeyKind::kBytea) return false;
    // Whether other letters fold into ASCII is known to Postgres.
    const bool folds = filter_.op == Op::kIlike && keys != KeyKind::kBytea;
    if (folds && !(text_rules_.folds_ascii_plainly && is_ascii(filter_.value))) return false;
    out_.kind = filter_.op == Op::kLike ? Kind::kLike : Kind::kIlike;
    out_.text = filter_.value;
    return true;
  }

  void ask() {
    out_.kind = Kind::kAsk;
    out_.text = depends_on_time(out_.rules, filter_.value) ? filter_.value : condition_.canonical;
  }

  const Condition& condition_;
  const Filter& filter_;
  const TextRules& text_rules_;
  Predicate out_;
};

// `(,,)`: a row all of whose fields are NULL is one itself, to IS NULL and nothing else.
bool has_no_field(std::string_view row) { return row.size() >= 2 && row.find_first_not_of(',', 1) == row.size() - 1; }

}  // namespace

std::optional<ColumnRules> rules_of(const Types& types, Oid type, const TextRules& rules) {
  const Oid base = types.base_of(type);
  const Type* known = types.find(base);
  if (known == nullptr || known->kind == TypeKind::kDomain) return std::nullopt;
  const KeyKind keys = key_kind(types, base);
  return ColumnRules{.type = base,
                     .keys = keys,
                     .is_ordered = is_ordered(keys, rules),
                     .has_null_numbers = type == kFloat4 || type == kFloat8 || type == kNumeric,
                     .is_composite = known->kind == TypeKind::kComposite};
}

Predicate predicate_of(const Condition& condition, std::size_t column, const ColumnRules& rules,
                       const TextRules& text_rules) {
  return Making(condition, column, rules, text_rules).make();
}

Verdict Predicate::judge(const SeenValue& value) const {
  const auto verdict = [](bool matches) { return matches ? Verdict::kYes : Verdict::kNo; };
  if (value.kind == SeenValue::Kind::kAbsent || kind == Kind::kNever) return Verdict::kNo;
  if (value.kind == SeenValue::Kind::kNull) return verdict(matches_null);
  switch (kind) {
    case Kind::kNever:
      return Verdict::kNo;
    case Kind::kNullness:
      return verdict(matches_null == (rules.is_composite && has_no_field(value.text)));
    case Kind::kKeys:
      return verdict(value.key && std::ranges::binary_search(keys, *value.key) != is_negated);
    case Kind::kRange:
      return verdict(value.key && range.contains(*value.key));
    case Kind::kLike:
    case Kind::kIlike: {
      if (!value.key) return Verdict::kNo;
      const std::string_view seen = rules.keys == KeyKind::kBytea ? *value.key : value.text;  // its digits
      const bool is_folded = kind == Kind::kIlike;
      if (is_folded && !is_ascii(seen)) return Verdict::kAsk;
      const auto letters = is_folded ? LetterCase::kFolded : LetterCase::kAsWritten;
      return verdict(is_like(text, seen, letters) != is_negated);
    }
    case Kind::kAsk:
      return Verdict::kAsk;
  }
  return Verdict::kNo;
}

}  // namespace rt::changes
