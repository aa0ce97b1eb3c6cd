#include "base/random.h"

#include <sys/random.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace rt {
namespace {

std::string hex_of(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

void fill_by_kernel(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0) continue;  // EINTR is the only failure getrandom(2) leaves us
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

constexpr std::size_t kFromStockBytesMax = 32;

// Each request has an id, and a system call for it would be a tenth of its cost. What was given away is wiped.
class Stock {
 public:
  void take(std::span<std::byte> out) {
    if (left_ < out.size()) {
      fill_by_kernel(bytes_);
      left_ = bytes_.size();
    }
    const auto taken = std::span(bytes_).subspan(left_ - out.size(), out.size());
    std::ranges::copy(taken, out.begin());
    std::ranges::fill(taken, std::byte{0});
    left_ -= out.size();
  }

 private:
  std::array<std::byte, 512> bytes_{};
  std::size_t left_ = 0;  // the first of them
};

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t value = 0;
  fill(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::string Random::hex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  fill(std::as_writable_bytes(std::span(raw)));
  return hex_of(std::as_bytes(std::span(raw)));
}

std::string Random::uuid() {
  std::array<std::byte, 16> raw;
  fill(raw);
  raw[6] = (raw[6] & std::byte{0x0f}) | std::byte{0x40};
  raw[8] = (raw[8] & std::byte{0x3f}) | std::byte{0x80};
  std::string text = hex_of(raw);
  for (const int at : {8, 13, 18, 23}) text.insert(static_cast<std::size_t>(at), 1, '-');
  return text;
}

void SystemRandom::fill(std::span<std::byte> out) {
  if (out.size() > kFromStockBytesMax) return fill_by_kernel(out);
  thread_local Stock stock;
  stock.take(out);
}

}  // namespace rt
