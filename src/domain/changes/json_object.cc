#include "domain/changes/json_object.h"

#include <algorithm>

namespace rt::changes {
namespace {

constexpr std::string_view kSeparator = ", ";

bool is_before(const Member& a, const Member& b) { return comes_before(a.key, b.key); }

// In order, with the last of equal keys only. False: they are so already, as most are.
bool sort(std::span<Member>& members) {
  const auto is_out_of_place = [](const Member& a, const Member& b) { return !is_before(a, b); };
  if (std::adjacent_find(members.begin(), members.end(), is_out_of_place) == members.end()) return false;
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.key == b.key ? a.begin > b.begin : is_before(a, b); });
  const auto kept =
      std::unique(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key == b.key; });
  members = members.first(static_cast<std::size_t>(kept - members.begin()));
  return true;
}

}  // namespace

bool comes_before(std::string_view key, std::string_view other) {
  return key.size() != other.size() ? key.size() < other.size() : key < other;
}

void MemberOrder::add(std::string& out, std::span<Member> members) {
  if (members.empty()) return;
  const Piece whole{members.front().begin, out.size()};
  if (!sort(members)) return;

  const std::size_t size = whole.end - whole.begin;
  if (size > kMovedAtOnceMax) {
    objects_.push_back({whole, pieces_.size(), members.size()});
    for (const Member& member : members) pieces_.push_back({member.begin, member.end});
    return;
  }
  const std::string written = out.substr(whole.begin);
  out.resize(whole.begin);
  for (const Member& member : members) {
    if (out.size() > whole.begin) out += kSeparator;
    out.append(written, member.begin - whole.begin, member.end - member.begin);
  }
}

void MemberOrder::apply(std::string& out, std::size_t begin) {
  if (objects_.empty()) return;
  std::sort(objects_.begin(), objects_.end(),
            [](const Object& a, const Object& b) { return a.whole.begin < b.whole.begin; });
  std::string ordered;
  ordered.reserve(out.size() - begin);
  append(ordered, out, {begin, out.size()});
  out.resize(begin);
  out += ordered;
  go_back({});
}

void MemberOrder::go_back(Mark mark) {
  objects_.resize(mark.objects);
  pieces_.resize(mark.pieces);
}

void MemberOrder::append(std::string& ordered, const std::string& out, Piece piece) const {
  for (;;) {
    // Not the one that the piece is the first member of.
    const auto object = std::upper_bound(objects_.begin(), objects_.end(), piece.begin,
                                         [](std::size_t at, const Object& a) { return at < a.whole.begin; });
    if (object == objects_.end() || object->whole.begin >= piece.end) break;
    ordered.append(out, piece.begin, object->whole.begin - piece.begin);
    for (std::size_t i = 0; i < object->count; ++i) {
      if (i > 0) ordered += kSeparator;
      append(ordered, out, pieces_[object->first + i]);
    }
    piece.begin = object->whole.end;
  }
  ordered.append(out, piece.begin, piece.end - piece.begin);
}

}  // namespace rt::changes
