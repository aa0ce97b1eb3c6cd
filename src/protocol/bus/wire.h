// The wire format of Protocol Buffers: varints, and fields that say their number, kind and length.
//
// https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rt::bus {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_varint(std::string& out, std::uint64_t value);
// Takes it off the front of `in`. nullopt: cut off, or longer than 64 bits.
std::optional<std::uint64_t> take_varint(std::string_view& in);

class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out) {}
  // Nothing is written for 0, as that is what an absent field means.
  void varint(std::uint32_t number, std::uint64_t value);
  void fixed64(std::uint32_t number, std::uint64_t value);
  // Is written when empty, too: for some fields that means something.
  void bytes(std::uint32_t number, std::string_view value);

 private:
  void tag(std::uint32_t number, WireType type);
  std::string& out_;
};

struct Field {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t value = 0;  // all types but kBytes
  std::string_view bytes;   // kBytes
};

class FieldReader {
 public:
  explicit FieldReader(std::string_view in) : in_(in) {}
  // nullopt: the end, or a mistake.
  std::optional<Field> next();
  bool is_broken() const { return is_broken_; }

 private:
  std::optional<Field> broken();
  std::string_view in_;
  bool is_broken_ = false;
};

}  // namespace rt::bus
