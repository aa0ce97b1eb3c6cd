// A position in the write-ahead log of a Postgres server: bytes from its beginning.
#pragma once

#include <compare>
#include <cstdint>

namespace rt {

struct Lsn {
  std::uint64_t value = 0;  // 0: none
  auto operator<=>(const Lsn&) const = default;
};

}  // namespace rt
