// What lies between two ends, of keys that are in the order of their values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::changes {

// A place between keys: just below or just above one, or beyond all.
struct End {
  enum class Where : std::int8_t { kBelowAll, kBelow, kAbove, kAboveAll };
  Where where = Where::kBelowAll;
  std::string key{};  // of kBelow and kAbove, else empty

  // Never equal: a key is not between keys.
  bool is_below(std::string_view other) const {
    if (where == Where::kBelowAll || where == Where::kAboveAll) return where == Where::kBelowAll;
    const int order = std::string_view(key).compare(other);
    return order != 0 ? order < 0 : where == Where::kBelow;
  }
  std::strong_ordering operator<=>(const End& other) const {
    if (const auto order = reach() <=> other.reach(); order != 0) return order;
    if (const auto order = key <=> other.key; order != 0) return order;
    return where <=> other.where;
  }
  bool operator==(const End&) const = default;

 private:
  int reach() const { return where == Where::kBelowAll ? -1 : where == Where::kAboveAll ? 1 : 0; }
};

struct KeyRange {
  End lower{};
  End upper{.where = End::Where::kAboveAll};

  bool contains(std::string_view key) const { return lower.is_below(key) && !upper.is_below(key); }
  void narrow(const KeyRange& other) {
    if (lower < other.lower) lower = other.lower;
    if (other.upper < upper) upper = other.upper;
  }
  auto operator<=>(const KeyRange&) const = default;
};

}  // namespace rt::changes
