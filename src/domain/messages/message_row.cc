#include "domain/messages/message_row.h"

#include <algorithm>
#include <charconv>
#include <chrono>

namespace rt::messages {
namespace {

constexpr std::string_view kHexPrefix = "\\x";
// Room for what stands around a payload in a message of a client, by which its limit is meant.
constexpr std::uint64_t kEnvelopeBytes = 500;
constexpr std::uint64_t kBodyOverhead = 6;
constexpr std::uint64_t kKilobyte = 1'000;

int digit_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// Takes so many digits off the front. nullopt: there are others.
std::optional<int> take_digits(std::string_view& in, std::size_t count) {
  int out = 0;
  if (in.size() < count) return std::nullopt;
  const std::string_view digits = in.substr(0, count);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (error != std::errc() || end != digits.data() + digits.size() || out < 0) return std::nullopt;
  in.remove_prefix(count);
  return out;
}

bool take_separator(std::string_view& in, char separator) {
  if (!in.starts_with(separator)) return false;
  in.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<std::string> bytes_of_hex(std::string_view hex) {
  if (!hex.starts_with(kHexPrefix) || hex.size() % 2 != 0) return std::nullopt;
  hex.remove_prefix(kHexPrefix.size());
  std::string out;
  out.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit_value(hex[i]);
    const int low = digit_value(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::uint64_t body_bytes_max(std::int64_t payload_kb_max) {
  return static_cast<std::uint64_t>(payload_kb_max) * kKilobyte + kEnvelopeBytes - kBodyOverhead;
}

Result<MessageRow, Unfit> read_row(const RowTexts& row, std::uint64_t bytes_max) {
  const auto unfit = [](std::string_view reason) { return tl::make_unexpected(Unfit{reason}); };
  if (!row.inserted_at) return unfit(":inserted_at_missing");
  if (!row.event) return unfit(":event_missing");
  if (!row.id) return unfit(":id_missing");
  if (!row.topic) return unfit(":topic_missing");
  if (!row.is_private) return unfit(":private_missing");
  if (!row.binary_payload && !row.payload) return unfit(":payload_missing");
  const std::uint64_t size =
      row.binary_payload ? (row.binary_payload->size() - kHexPrefix.size()) / 2 : row.payload->size();
  if (size > bytes_max) return unfit(":payload_size_exceeded");

  MessageRow out{.id = std::string(*row.id),
                 .topic = std::string(*row.topic),
                 .event = std::string(*row.event),
                 .body = {},
                 .is_binary = row.binary_payload.has_value(),
                 .is_private = *row.is_private == "t",
                 .inserted_at = std::string(*row.inserted_at)};
  if (out.is_binary) {
    auto bytes = bytes_of_hex(*row.binary_payload);
    if (!bytes) return unfit(":payload_missing");
    out.body = *std::move(bytes);
  } else {
    out.body = *row.payload;
  }
  return out;
}

std::optional<std::int64_t> micros_of(std::string_view timestamp) {
  using namespace std::chrono;
  constexpr std::pair<std::size_t, char> kParts[] = {{4, '-'}, {2, '-'}, {2, ' '}, {2, ':'}, {2, ':'}, {2, '\0'}};
  int parts[std::size(kParts)];
  for (std::size_t i = 0; i < std::size(kParts); ++i) {
    const auto [digits, separator] = kParts[i];
    const auto part = take_digits(timestamp, digits);
    if (!part || (separator != '\0' && !take_separator(timestamp, separator))) return std::nullopt;
    parts[i] = *part;
  }
  int fraction = 0;
  if (take_separator(timestamp, '.')) {
    const std::size_t digits = std::min<std::size_t>(timestamp.size(), 6);
    const auto part = take_digits(timestamp, digits);
    if (!part) return std::nullopt;
    fraction = *part;
    for (std::size_t i = digits; i < 6; ++i) fraction *= 10;
  }
  const year_month_day day(year(parts[0]), month(static_cast<unsigned>(parts[1])),
                           std::chrono::day(static_cast<unsigned>(parts[2])));
  if (!timestamp.empty() || !day.ok()) return std::nullopt;
  const auto since = sys_days(day) - sys_days(year(2000) / January / 1);
  return microseconds(since + hours(parts[3]) + minutes(parts[4]) + seconds(parts[5])).count() + fraction;
}

}  // namespace rt::messages
