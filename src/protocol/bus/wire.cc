#include "protocol/bus/wire.h"

namespace rt::bus {
namespace {

std::optional<std::uint64_t> take_fixed(std::string_view& in, std::size_t bytes) {
  if (in.size() < bytes) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(bytes);
  return value;
}

}  // namespace

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::optional<std::uint64_t> take_varint(std::string_view& in) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

void FieldWriter::varint(std::uint32_t number, std::uint64_t value) {
  if (value == 0) return;
  tag(number, WireType::kVarint);
  append_varint(out_, value);
}

void FieldWriter::fixed64(std::uint32_t number, std::uint64_t value) {
  if (value == 0) return;
  tag(number, WireType::kFixed64);
  for (int shift = 0; shift < 64; shift += 8) out_ += static_cast<char>(value >> shift & 0xff);
}

void FieldWriter::bytes(std::uint32_t number, std::string_view value) {
  tag(number, WireType::kBytes);
  append_varint(out_, value.size());
  out_ += value;
}

void FieldWriter::tag(std::uint32_t number, WireType type) {
  append_varint(out_, std::uint64_t{number} << 3 | static_cast<std::uint64_t>(type));
}

std::optional<Field> FieldReader::next() {
  if (in_.empty() || is_broken_) return std::nullopt;
  const auto tag = take_varint(in_);
  if (!tag || *tag >> 3 == 0 || *tag >> 32 != 0) return broken();
  Field field{.number = static_cast<std::uint32_t>(*tag >> 3), .type = static_cast<WireType>(*tag & 7), .bytes = {}};
  std::optional<std::uint64_t> value;
  switch (field.type) {
    case WireType::kVarint:
    case WireType::kBytes:
      value = take_varint(in_);
      break;
    case WireType::kFixed64:
      value = take_fixed(in_, 8);
      break;
    case WireType::kFixed32:
      value = take_fixed(in_, 4);
      break;
  }
  if (!value) return broken();
  field.value = *value;
  if (field.type != WireType::kBytes) return field;
  if (*value > in_.size()) return broken();
  field.bytes = in_.substr(0, *value);
  in_.remove_prefix(*value);
  return field;
}

std::optional<Field> FieldReader::broken() {
  is_broken_ = true;
  return std::nullopt;
}

}  // namespace rt::bus
