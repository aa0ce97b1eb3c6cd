// Random bytes from the operating system, and the texts made of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace rt {

class Random {  // thread-safe
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::byte> out) = 0;

  std::uint64_t next();
  // 2 * bytes lower-case hex digits.
  std::string hex(std::size_t bytes);
  // RFC 9562 version 4, in its usual text form.
  std::string uuid();
};

// getrandom(2), small amounts from a stock of each thread: fit for secrets.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> out) override;
};

}  // namespace rt
