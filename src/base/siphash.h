// SipHash-1-3 (Aumasson and Bernstein, 2012; the variant that hash tables use): keyed, so that no client can choose
// topic names that all fall into one bucket.
#pragma once

#include <cstdint>
#include <string_view>

namespace rt {

struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

std::uint64_t siphash(HashKey key, std::string_view bytes);

}  // namespace rt
