#include "model/presence.h"

#include <charconv>

#include "base/base64.h"

namespace rt {
namespace {

void append_48_bits(std::string& bytes, std::uint64_t value) {
  for (int shift = 40; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
}

constexpr char kPublicMark = '+';
constexpr char kPrivateMark = '-';

}  // namespace

// The length in front of the tenant keeps two pairs of one text apart.
std::string presence_topic(const TopicKey& topic) {
  std::string name(1, topic.privacy == Privacy::kPublic ? kPublicMark : kPrivateMark);
  name += std::to_string(topic.tenant.size());
  name += ':';
  name += topic.tenant;
  name += topic.topic;
  return name;
}

std::optional<TopicKey> parse_presence_topic(std::string_view name) {
  if (name.empty() || (name[0] != kPublicMark && name[0] != kPrivateMark)) return std::nullopt;
  const char* const end = name.data() + name.size();
  std::size_t length = 0;
  const auto [colon, error] = std::from_chars(name.data() + 1, end, length);
  if (error != std::errc() || colon == end || *colon != ':') return std::nullopt;
  const std::string_view rest(colon + 1, end);
  if (length > rest.size()) return std::nullopt;
  const Privacy privacy = name[0] == kPublicMark ? Privacy::kPublic : Privacy::kPrivate;
  return TopicKey{rest.substr(0, length), privacy, rest.substr(length)};
}

std::string PresenceRef::text() const {
  std::string bytes;
  append_48_bits(bytes, replica);
  append_48_bits(bytes, clock);
  return base64url_encode(bytes);
}

}  // namespace rt
