#include "base/siphash.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace rt {
namespace {

TEST_CASE("the hash depends on the key, on every byte and on the length") {
  std::set<std::uint64_t> seen;
  std::string text;
  for (int i = 0; i < 40; ++i) {
    seen.insert(siphash({1, 2}, text));
    seen.insert(siphash({1, 3}, text));
    for (std::size_t at = 0; at < text.size(); ++at) {
      std::string other = text;
      other[at] ^= 1;
      seen.insert(siphash({1, 2}, other));
    }
    text += '\0';
  }
  CHECK(seen.size() == 40u * 2 + 39 * 40 / 2);
}

}  // namespace
}  // namespace rt
