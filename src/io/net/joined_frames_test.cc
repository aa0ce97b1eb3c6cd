#include "io/net/joined_frames.h"

#include <doctest/doctest.h>

#include <string>

namespace rt::net {
namespace {

std::string text_of(const iovec& piece) { return {static_cast<const char*>(piece.iov_base), piece.iov_len}; }

TEST_CASE("frames that wait behind each other become one piece, in their order") {
  JoinedFrames joined;
  const std::vector<FrameRef> frames = {FrameRef(std::string("a")), FrameRef(std::string("bc")),
                                        FrameRef(std::string("d"))};
  const auto piece = joined.join(frames);
  REQUIRE(piece);
  CHECK(text_of(*piece) == "abcd");
}

TEST_CASE("connections that wait to send the same frames share the copy, others get their own") {
  JoinedFrames joined;
  const FrameRef a(std::string("a"));
  const FrameRef b(std::string("b"));
  const std::vector<FrameRef> one = {a, b};
  const std::vector<FrameRef> same = {a, b};
  const std::vector<FrameRef> turned = {b, a};
  const std::vector<FrameRef> longer = {a, b, a};
  const auto first = joined.join(one);
  REQUIRE(first);
  CHECK(joined.join(same)->iov_base == first->iov_base);
  CHECK(text_of(*joined.join(turned)) == "ba");
  CHECK(text_of(*joined.join(longer)) == "aba");
  CHECK(text_of(*joined.join(one)) == "ab");
  CHECK(text_of(*first) == "ab");
}

TEST_CASE("a piece of an earlier flush is never taken for one of this") {
  JoinedFrames joined;
  const std::vector<FrameRef> ab = {FrameRef(std::string("a")), FrameRef(std::string("b"))};
  const std::vector<FrameRef> cd = {FrameRef(std::string("c")), FrameRef(std::string("d"))};
  REQUIRE(joined.join(ab));
  joined.clear();
  REQUIRE(joined.join(cd));
  CHECK(text_of(*joined.join(ab)) == "ab");
}

TEST_CASE("single frames, large ones and what finds no room are left in pieces") {
  JoinedFrames joined;
  const FrameRef small(std::string("a"));
  const FrameRef large(std::string(2 * JoinedFrames::kFrameBytesMax, 'x'));
  CHECK(!joined.join(std::vector{small}));
  CHECK(!joined.join(std::vector<FrameRef>{}));
  CHECK(!joined.join(std::vector{large, large}));
  CHECK(joined.join(std::vector{large, small, small}));
  const std::vector<FrameRef> many(JoinedFrames::kRoomBytes, small);
  CHECK(!joined.join(many));
  joined.clear();
  CHECK(joined.join(many));
  CHECK(!joined.join(std::vector{small, small}));
}

}  // namespace
}  // namespace rt::net
