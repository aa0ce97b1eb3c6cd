// The integers and texts of Postgres' protocols, read off the front of a piece of bytes: big-endian, texts end in a
// NUL. What is read after the end is 0 or empty, and remembered.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

namespace rt::pgoutput {

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <std::unsigned_integral T>
  T integer() {
    const std::string_view bytes = take(sizeof(T));
    std::uint64_t out = 0;
    for (const char byte : bytes) out = out << 8 | static_cast<unsigned char>(byte);
    return static_cast<T>(out);
  }

  std::string_view take(std::size_t count) {
    if (count > in_.size()) {
      is_broken_ = true;
      in_ = {};
      return {};
    }
    const std::string_view out = in_.substr(0, count);
    in_.remove_prefix(count);
    return out;
  }

  std::string_view text() {
    const std::size_t end = in_.find('\0');
    if (end == std::string_view::npos) {
      take(in_.size() + 1);
      return {};
    }
    const std::string_view out = take(end);
    take(1);
    return out;
  }

  std::string_view rest() { return take(in_.size()); }
  std::size_t left() const { return in_.size(); }
  bool is_broken() const { return is_broken_; }

 private:
  std::string_view in_;
  bool is_broken_ = false;
};

}  // namespace rt::pgoutput
