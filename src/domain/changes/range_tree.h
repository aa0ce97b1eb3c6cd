// Ranges, found by a key that they contain.
//
// A balanced tree (AVL) by lower end, in which each node knows the highest upper end below it: a branch whose ranges
// all end too early is not entered, and neither is one whose ranges all begin too late.
//
// Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, chapter 14.3 (interval trees)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "domain/changes/key_range.h"

namespace rt::changes {

class RangeTree {
 public:
  using Id = std::uint32_t;
  class Node;

  RangeTree();
  ~RangeTree();
  RangeTree(RangeTree&&) noexcept;
  RangeTree& operator=(RangeTree&&) noexcept;

  // The node is there until it is removed. Ids are told apart by the caller; equal ranges may have several.
  const Node* add(KeyRange range, Id id);
  void remove(const Node* node);
  bool empty() const { return root_ == nullptr; }
  // Levels of it, for tests.
  int height() const;

  // `visit` is called with the id of each range that contains `key`.
  template <class Visit>
  void find(std::string_view key, Visit&& visit) const {
    find_below(root_.get(), key, visit);
  }

  class Node {
   public:
    const KeyRange& range() const { return range_; }

   private:
    friend class RangeTree;
    struct Surgery;
    Node(KeyRange range, Id id) : range_(std::move(range)), id_(id) {}

    const KeyRange range_;
    const Id id_;
    int height_ = 1;
    const End* highest_ = nullptr;  // upper end, its own or of a node below
    std::unique_ptr<Node> left_;
    std::unique_ptr<Node> right_;
  };

 private:
  template <class Visit>
  static void find_below(const Node* node, std::string_view key, Visit& visit) {
    if (node == nullptr || node->highest_->is_below(key)) return;
    find_below(node->left_.get(), key, visit);
    if (!node->range_.lower.is_below(key)) return;
    if (!node->range_.upper.is_below(key)) visit(node->id_);
    find_below(node->right_.get(), key, visit);
  }

  std::unique_ptr<Node> root_;
};

}  // namespace rt::changes
