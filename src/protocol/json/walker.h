// The JSON walker: one pass over a text that is passed on as it came.
//
// Payloads of clients are forwarded byte for byte and never rebuilt, so all we need of them is whether they are valid
// JSON (RFC 8259), what kind of value they are, where they end, and how large they are by the measure that limits use.
// The walker finds all four at once, without recursion or allocation. Envelope, join payload and claims are read with
// it too (json/value.h): the text is checked once, then cut into pieces of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rt::json {

enum class Type : std::uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };

// Deeper nesting is refused like a syntax error.
inline constexpr int kDepthMax = 512;

struct Walked {
  Type type = Type::kNull;
  std::size_t length = 0;  // bytes of the value itself
  // S(value): the size of the value in the external term format of the reference runtime, which payload limits are
  // stated in.
  std::uint64_t term_size = 0;
};

// Walks the value that begins at text[0] (no white space before it). nullopt: not valid JSON or UTF-8, or too deep.
// What follows the value is not looked at. `depth_max` is at most kDepthMax.
std::optional<Walked> walk_value(std::string_view text, int depth_max = kDepthMax);

// A whole document: one value with white space around it.
struct Document {
  std::string_view text;  // without the white space
  Type type = Type::kNull;
  std::uint64_t term_size = 0;
};
std::optional<Document> walk_document(std::string_view text, int depth_max = kDepthMax);

std::size_t skip_white_space(std::string_view text, std::size_t from);

}  // namespace rt::json
