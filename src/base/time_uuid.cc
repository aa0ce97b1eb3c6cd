#include "base/time_uuid.h"

#include <cstdio>

namespace rt {

std::uint64_t uuid_ticks(std::chrono::system_clock::time_point time) {
  using Ticks = std::chrono::duration<std::uint64_t, std::ratio<1, 10'000'000>>;
  constexpr std::uint64_t kFrom1582To1970 = 0x01b21dd213814000;
  return std::chrono::duration_cast<Ticks>(time.time_since_epoch()).count() + kFrom1582To1970;
}

std::string time_uuid(std::uint64_t ticks, std::uint64_t maker) {
  const auto field = [](std::uint64_t value, int shift, std::uint64_t mask) {
    return static_cast<unsigned long long>(value >> shift & mask);
  };
  constexpr std::uint64_t kVariant = 0x8000;
  constexpr std::uint64_t kNoHardwareAddress = 0x0100'0000'0000;
  char text[37];
  std::snprintf(text, sizeof text, "%08llx-%04llx-1%03llx-%04llx-%012llx", field(ticks, 0, 0xffff'ffff),
                field(ticks, 32, 0xffff), field(ticks, 48, 0xfff), field(maker, 48, 0x3fff) | kVariant,
                field(maker | kNoHardwareAddress, 0, 0xffff'ffff'ffff));
  return text;
}

}  // namespace rt
