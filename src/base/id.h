// Numbers that could be confused get types of their own.
#pragma once

#include <compare>
#include <cstdint>

namespace rt {

template <class Tag>
struct Id {
  std::uint32_t value = 0;
  auto operator<=>(const Id&) const = default;
};

}  // namespace rt
