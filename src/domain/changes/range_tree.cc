#include "domain/changes/range_tree.h"

#include <compare>

#include "base/check.h"

namespace rt::changes {

// Everything that changes the shape. `Place` is where a node hangs.
struct RangeTree::Node::Surgery {
  using Place = std::unique_ptr<Node>;

  static int height(const Place& node) { return node ? node->height_ : 0; }

  static std::strong_ordering order(const Node& a, const Node& b) {
    if (const auto by_range = a.range_ <=> b.range_; by_range != 0) return by_range;
    return a.id_ <=> b.id_;
  }

  static void measure(Node& node) {
    node.height_ = 1 + std::max(height(node.left_), height(node.right_));
    node.highest_ = &node.range_.upper;
    for (const Node* child : {node.left_.get(), node.right_.get()}) {
      if (child != nullptr && *node.highest_ < *child->highest_) node.highest_ = child->highest_;
    }
  }

  // The child takes the place of its parent.
  static void raise(Place& place, Place Node::* side, Place Node::* other_side) {
    Place child = std::move((*place).*side);
    (*place).*side = std::move((*child).*other_side);
    measure(*place);
    (*child).*other_side = std::move(place);
    place = std::move(child);
    measure(*place);
  }

  static void balance(Place& place) {
    const auto even_out = [&place](Place Node::* high, Place Node::* low) {
      Place& child = (*place).*high;
      if (height((*child).*high) < height((*child).*low)) raise(child, low, high);
      raise(place, high, low);
    };
    measure(*place);
    const int lean = height(place->left_) - height(place->right_);
    if (lean > 1) even_out(&Node::left_, &Node::right_);
    if (lean < -1) even_out(&Node::right_, &Node::left_);
  }

  static void insert(Place& place, Place node) {
    if (!place) {
      place = std::move(node);
      measure(*place);
      return;
    }
    insert(order(*node, *place) < 0 ? place->left_ : place->right_, std::move(node));
    balance(place);
  }

  static Place take_first(Place& place) {
    if (place->left_) {
      Place first = take_first(place->left_);
      balance(place);
      return first;
    }
    Place first = std::move(place);
    place = std::move(first->right_);
    return first;
  }

  static void remove(Place& place, const Node& node) {
    RT_CHECK(place != nullptr);
    if (place.get() != &node) {
      remove(order(node, *place) < 0 ? place->left_ : place->right_, node);
      return balance(place);
    }
    const Place removed = std::move(place);
    if (!removed->right_) {
      place = std::move(removed->left_);
      return;
    }
    place = take_first(removed->right_);
    place->right_ = std::move(removed->right_);
    place->left_ = std::move(removed->left_);
    balance(place);
  }
};

RangeTree::RangeTree() = default;
RangeTree::~RangeTree() = default;
RangeTree::RangeTree(RangeTree&&) noexcept = default;
RangeTree& RangeTree::operator=(RangeTree&&) noexcept = default;

const RangeTree::Node* RangeTree::add(KeyRange range, Id id) {
  std::unique_ptr<Node> node(new Node(std::move(range), id));
  const Node* added = node.get();
  Node::Surgery::insert(root_, std::move(node));
  return added;
}

void RangeTree::remove(const Node* node) { Node::Surgery::remove(root_, *node); }

int RangeTree::height() const { return Node::Surgery::height(root_); }

}  // namespace rt::changes
