// The members of objects in the order of jsonb: shorter keys first, those of equal length by their bytes, and of equal
// keys the last one only.
//
// Members are written as they come, and moved afterwards. Small objects are at once. Larger ones are when everything is
// written, all in one go: moved one by one, those of an object within many others would be moved as many times.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rt::changes {

bool comes_before(std::string_view key, std::string_view other);

// A member that was written: `"key": value` is from `begin` to `end` of the text.
struct Member {
  std::string_view key;  // unescaped
  std::size_t begin = 0;
  std::size_t end = 0;
};

class MemberOrder {
 public:
  static constexpr std::size_t kMovedAtOnceMax = 256;  // bytes of the object

  // The members of an object, as they were written: the end of `out`, with ", " between them. Objects within come
  // first.
  void add(std::string& out, std::span<Member> members);
  // `out` has from `begin` on what all that was added is in.
  void apply(std::string& out, std::size_t begin);

  // To take back what was added since.
  struct Mark {
    std::size_t objects = 0;
    std::size_t pieces = 0;
  };
  Mark mark() const { return {objects_.size(), pieces_.size()}; }
  void go_back(Mark mark);

 private:
  struct Piece {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  // What is within the braces of one that is out of order.
  struct Object {
    Piece whole;
    std::size_t first = 0;  // of its members in pieces_, which are in order
    std::size_t count = 0;
  };

  void append(std::string& ordered, const std::string& out, Piece piece) const;

  std::vector<Object> objects_;
  std::vector<Piece> pieces_;
};

}  // namespace rt::changes
