#include "protocol/bus/fragments.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace rt::bus {
namespace {

constexpr ReplicaId kSender{UINT64_MAX, UINT64_MAX};

std::string text_of(std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += std::to_string(text.size());
  text.resize(bytes);
  return text;
}

std::optional<std::string> add(Reassembly& reassembly, const std::string& bytes) {
  const auto message = decode(bytes);
  REQUIRE(message);
  return reassembly.add(std::get<Fragment>(*message));
}

TEST_CASE("a message that fits travels as it is") {
  CHECK(split("short", kSender, 1) == std::vector<std::string>{"short"});
  CHECK(split(text_of(kBusBytesMax), kSender, 1).size() == 1);
}

TEST_CASE("a longer one comes together again from pieces that fit, in whatever order and however often they come") {
  std::mt19937_64 random(3);
  for (std::size_t bytes = 129; bytes < 5'000; bytes += 97) {
    auto pieces = split(text_of(bytes), kSender, UINT64_MAX, 128);
    for (const std::string& piece : pieces) CHECK(piece.size() <= 128);
    std::ranges::shuffle(pieces, random);
    Reassembly reassembly;
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      CHECK(!add(reassembly, pieces[i]));
      CHECK(!add(reassembly, pieces[i]));
    }
    CHECK(add(reassembly, pieces.back()) == text_of(bytes));
    CHECK(reassembly.bytes() == 0);
  }
}

TEST_CASE("messages of several senders are kept apart") {
  Reassembly reassembly;
  const auto one = split(text_of(200), {1, 1}, 1, 128);
  const auto two = split(text_of(199), {1, 2}, 1, 128);
  REQUIRE(one.size() == two.size());
  for (std::size_t i = 0; i + 1 < one.size(); ++i) {
    add(reassembly, one[i]);
    add(reassembly, two[i]);
  }
  CHECK(add(reassembly, one.back()) == text_of(200));
  CHECK(add(reassembly, two.back()) == text_of(199));
}

TEST_CASE("pieces whose message is never completed give way to newer ones") {
  Reassembly reassembly(2'000);
  for (std::uint64_t id = 1; id <= 100; ++id) {
    auto pieces = split(text_of(1'000), kSender, id, 128);
    pieces.pop_back();
    for (const std::string& piece : pieces) add(reassembly, piece);
    CHECK(reassembly.bytes() <= 2'000);
  }
  CHECK(reassembly.dropped() == 99);
  const auto pieces = split(text_of(1'000), kSender, 101, 128);
  std::optional<std::string> message;
  for (const std::string& piece : pieces) message = add(reassembly, piece);
  CHECK(message == text_of(1'000));
}

TEST_CASE("pieces that cannot belong to a message are dropped") {
  Reassembly reassembly;
  CHECK(!reassembly.add({kSender, 1, 0, 0, "x"}));
  CHECK(!reassembly.add({kSender, 1, 2, 2, "x"}));
  CHECK(!reassembly.add({kSender, 1, 0, UINT32_MAX, "x"}));
  CHECK(reassembly.bytes() == 0);
  CHECK(!reassembly.add({kSender, 1, 0, 2, "x"}));
  CHECK(!reassembly.add({kSender, 1, 1, 3, "x"}));
  CHECK(reassembly.dropped() == 4);
  CHECK(reassembly.add({kSender, 1, 1, 2, "y"}) == "xy");
}

TEST_CASE("a message that nobody could take is not sent") {
  CHECK(split(std::string(kMessageBytesMax + 1, 'x'), kSender, 1).empty());
}

}  // namespace
}  // namespace rt::bus
