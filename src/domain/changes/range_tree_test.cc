#include "domain/changes/range_tree.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>
#include <vector>

namespace rt::changes {
namespace {

using Where = End::Where;

KeyRange range(End lower, End upper) { return {.lower = std::move(lower), .upper = std::move(upper)}; }
End below(std::string key) { return {.where = Where::kBelow, .key = std::move(key)}; }
End above(std::string key) { return {.where = Where::kAbove, .key = std::move(key)}; }

std::vector<RangeTree::Id> found(const RangeTree& tree, std::string_view key) {
  std::vector<RangeTree::Id> out;
  tree.find(key, [&out](RangeTree::Id id) { out.push_back(id); });
  std::ranges::sort(out);
  return out;
}

TEST_CASE("a range has its ends or not") {
  CHECK(range(below("b"), above("d")).contains("b"));
  CHECK(range(below("b"), above("d")).contains("d"));
  CHECK_FALSE(range(above("b"), below("d")).contains("b"));
  CHECK_FALSE(range(above("b"), below("d")).contains("d"));
  CHECK(range(above("b"), below("d")).contains("bb"));
  CHECK(KeyRange{}.contains(""));
  CHECK_FALSE(range(below("d"), above("b")).contains("c"));
}

TEST_CASE("of two ranges remains what lies in both") {
  KeyRange both = range(below("b"), above("m"));
  both.narrow(range(above("b"), {.where = Where::kAboveAll}));
  both.narrow({.upper = below("d")});
  CHECK(both == range(above("b"), below("d")));
}

TEST_CASE("ranges are found by what they contain, whatever came and went, and the tree stays flat") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto any_key = [&random] { return std::string(1, static_cast<char>('a' + random() % 26)); };
  const auto any_end = [&](Where beyond) -> End {
    const auto kind = random() % 5;
    if (kind == 0) return {.where = beyond};
    return kind % 2 == 0 ? below(any_key()) : above(any_key());
  };
  RangeTree tree;
  std::map<RangeTree::Id, const RangeTree::Node*> nodes;
  for (int step = 0; step < 6'000; ++step) {
    const auto id = static_cast<RangeTree::Id>(random() % (step < 3'000 ? 800 : 300));
    if (const auto there = nodes.find(id); there != nodes.end()) {
      tree.remove(there->second);
      nodes.erase(there);
    } else {
      nodes[id] = tree.add(range(any_end(Where::kBelowAll), any_end(Where::kAboveAll)), id);
    }
    if (step % 10 != 0) continue;
    const std::string key = any_key();
    std::vector<RangeTree::Id> expected;
    for (const auto& [other, node] : nodes) {
      if (node->range().contains(key)) expected.push_back(other);
    }
    REQUIRE(found(tree, key) == expected);
    REQUIRE(tree.height() <= 1.45 * std::log2(static_cast<double>(nodes.size()) + 2));
  }
  for (const auto& [id, node] : nodes) tree.remove(node);
  CHECK(tree.empty());
}

TEST_CASE("ranges that are added in order make no list") {
  RangeTree tree;
  for (RangeTree::Id id = 0; id < 4'096; ++id) {
    std::string key = std::to_string(100'000 + id);
    tree.add(range(below(key), above(key)), id);
  }
  CHECK(tree.height() <= 13);
  CHECK(found(tree, "102048") == std::vector<RangeTree::Id>{2'048});
}

}  // namespace
}  // namespace rt::changes
